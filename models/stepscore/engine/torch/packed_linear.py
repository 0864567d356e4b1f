"""Linear layers in bfloat16 on a CPU: the weight in oneDNN's own order, and what follows the product fused into it.

PyTorch brings a weight into that order anew for each product. Brought there once, at the start, the products of a layer
were measured 1.1 to 1.8 times faster, the more the fewer rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stepscore.engine.torch.linear import Linear
from stepscore.placement import Placement


def packs(placement: Placement) -> bool:
    """Whether a model's weights can be packed: bfloat16 on a CPU for which oneDNN has it, and no tiles."""
    small = placement.device.type == "cpu" and placement.dtype == torch.bfloat16 and not placement.tile
    return small and torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """x W^T + b. weight: (out, in) in an order of oneDNN's; outputs: out; bias: (out,) or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    outputs: int
    tile: int = 0

    @classmethod
    def of(cls, linear: Linear) -> PackedLinear:
        weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.contiguous(), None)
        return cls(weight, linear.bias, len(linear.weight))

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return self._product(rows, "none")

    def silu(self, rows: torch.Tensor) -> torch.Tensor:
        return self._product(rows, "swish")

    def add(self, rows: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The product + other (rows, out)."""
        return self._product_with(rows, other, "add")

    def times(self, rows: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The product * other (rows, out)."""
        return self._product_with(rows, other, "mul")

    def padded_rows(self, rows: int) -> int:
        return rows

    def _product(self, rows: torch.Tensor, then: str) -> torch.Tensor:
        if not len(rows):
            return rows.new_empty((0, self.outputs))
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, then, [], "")
        return out

    def _product_with(self, rows: torch.Tensor, other: torch.Tensor, operation: str) -> torch.Tensor:
        if not len(rows):
            return other
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, other, self.weight, self.bias, operation)
        return out


@dataclass(frozen=True, slots=True)
class PackedGate:
    """silu(gate) * up, of two layers that read the same rows."""

    gate: PackedLinear
    up: PackedLinear
    tile: int = 0

    @classmethod
    def of(cls, linear: Linear) -> PackedGate:
        """linear: gate and up, one under the other."""
        biases = (None, None) if linear.bias is None else linear.bias.chunk(2)
        gate, up = (Linear(weight, bias) for weight, bias in zip(linear.weight.chunk(2), biases, strict=True))
        return cls(PackedLinear.of(gate), PackedLinear.of(up))

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return self.up.times(rows, self.gate.silu(rows))

    def padded_rows(self, rows: int) -> int:
        return rows
