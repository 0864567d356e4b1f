"""Linear layers whose rows do not depend on how many other rows there are, if that is required."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

CPU_TILE, CUDA_TILE = 128, 1024

SERIAL_NUMBERS = 32_767
"""Up to here PyTorch computes elementwise functions on one thread. Above, it cuts the numbers into as many parts as
threads, and what lies at a cut goes through another exp than the rest: a last bit that depends on the row's company."""


class GatedProjection(Protocol):
    """Two linear layers of one input, gate and up, in whatever numbers."""

    def gate(self, rows: torch.Tensor) -> torch.Tensor:
        """silu(gate) * up."""
        ...


class Projection(GatedProjection, Protocol):
    """A linear layer in whatever numbers. If it is a gated one, its outputs are the gate's, then up's.

    tile: see `Linear`.
    """

    @property
    def tile(self) -> int: ...

    def __call__(self, rows: torch.Tensor) -> torch.Tensor: ...

    def padded_rows(self, rows: int) -> int:
        """The number of rows, rounded up to whole tiles."""
        ...

    def add_to(self, residual: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """A new tensor, the residual plus the layer's outputs."""
        return self(rows).add_(residual)

    def gate(self, rows: torch.Tensor) -> torch.Tensor:
        gate, up = self(rows).chunk(2, dim=-1)
        return functional.silu(gate).mul_(up)


@dataclass(frozen=True, slots=True)
class Linear(Projection):
    """x W^T + b. weight: (out, in); bias: (out,) or None.

    tile: 0, or the number of rows of every matrix product. BLAS libraries choose their kernel, and with it the order
    of the sums, by the number of rows; with one fixed shape a row's result is the same whatever else is in the batch.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    tile: int = 0

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        if not self.tile:
            return functional.linear(rows, self.weight, self.bias)
        count = self.padded_rows(len(rows))
        padded = functional.pad(rows, (0, 0, 0, count - len(rows))) if count > len(rows) else rows
        out = rows.new_empty((count, len(self.weight)))
        for start in range(0, count, self.tile):
            self._one_tile(padded[start : start + self.tile], out[start : start + self.tile])
        return out[: len(rows)]

    def padded_rows(self, rows: int) -> int:
        """The number of rows, rounded up to whole tiles."""
        return rows if not self.tile else self.tile * -(-rows // self.tile)

    def gate(self, rows: torch.Tensor) -> torch.Tensor:
        if not (self.tile and rows.device.type == "cpu"):
            return Projection.gate(self, rows)
        gate, up = self(rows).chunk(2, dim=-1)
        out, serial = torch.empty_like(gate, memory_format=torch.contiguous_format), SERIAL_NUMBERS // gate.shape[1]
        for start in range(0, len(out), max(1, serial)):
            part = slice(start, start + max(1, serial))
            torch.mul(functional.silu(gate[part]), up[part], out=out[part])
        return out

    def _one_tile(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        if self.bias is None:
            torch.mm(rows, self.weight.t(), out=out)
        else:
            torch.addmm(self.bias, rows, self.weight.t(), out=out)


def tile_for(device: torch.device) -> int:
    """Large enough to cost little, small enough not to be mostly padding."""
    return CUDA_TILE if device.type == "cuda" else CPU_TILE
