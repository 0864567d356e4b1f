"""Linear layers whose rows do not depend on how many other rows there are, if that is required."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

CPU_TILE, CUDA_TILE = 128, 1024


class Projection(Protocol):
    """A linear layer in whatever numbers. tile: see `Linear`."""

    @property
    def tile(self) -> int: ...

    def __call__(self, rows: torch.Tensor) -> torch.Tensor: ...

    def padded_rows(self, rows: int) -> int:
        """The number of rows, rounded up to whole tiles."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
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

    def _one_tile(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        if self.bias is None:
            torch.mm(rows, self.weight.t(), out=out)
        else:
            torch.addmm(self.bias, rows, self.weight.t(), out=out)


def tile_for(device: torch.device) -> int:
    """Large enough to cost little, small enough not to be mostly padding."""
    return CUDA_TILE if device.type == "cuda" else CPU_TILE
