"""Weights in the order in which oneDNN multiplies them.

In bfloat16 a CPU would put them in order in every forward. For a few rows, a tree node or a step of a beam, that costs
about as much as the products. A product of such weights also does what follows it on its own sums, before they are
rounded and written: the gate's SiLU, its multiplication with up, the addition of the residual.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stepscore.config import Mode
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.linear import GatedProjection, Linear, Projection

EXPECTED_ROWS = 128
"""The order suits this number of rows best, and serves every other."""

SIZES_PER_DOUBLING, FINEST = 8, 4
"""oneDNN prepares each number of rows once and keeps about a megabyte for it: only so many numbers are used between a
power of two and the next, and only multiples of the finest."""


def packs(mode: Mode, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether weights are packed: mode fast in bfloat16 on a CPU for which oneDNN has such products (x86 only)."""
    x86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    wanted = mode == "fast" and device.type == "cpu" and dtype == torch.bfloat16 and x86
    available: bool = wanted and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack(decoder: Decoder) -> None:
    """Replace the decoder's large weights, layer by layer. Not for layers that `Decoder.compile` compiles."""
    decoder.replace_linears(PackedLinear.of, PackedGate.of)


@dataclass(frozen=True, slots=True)
class PackedLinear(Projection):
    """x W^T + b as `Linear` without tiles, bit for bit on CPUs with bfloat16 units.

    weight: (out, in), which only oneDNN can read.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    tile: int = 0

    @classmethod
    def of(cls, linear: Linear) -> PackedLinear:
        return cls(_reorder(linear.weight), linear.bias)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return _multiply(rows, self.weight, self.bias)

    def padded_rows(self, rows: int) -> int:
        """The number of rows, rounded up by at most an eighth, or three rows, to one of few that oneDNN gets."""
        step = max(FINEST, (1 << max(rows - 1, 0).bit_length()) // (2 * SIZES_PER_DOUBLING))
        return step * -(-rows // step)

    def add_to(self, residual: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return _combine(rows, residual, self.weight, self.bias, "add")


@dataclass(frozen=True, slots=True)
class PackedGate(GatedProjection):
    """Gate and up apart, so that up's product is multiplied with what the gate's has written.

    gate_weight, up_weight: (inner, in), which only oneDNN can read.
    """

    gate_weight: torch.Tensor
    up_weight: torch.Tensor
    gate_bias: torch.Tensor | None
    up_bias: torch.Tensor | None

    @classmethod
    def of(cls, linear: Linear) -> PackedGate:
        gate_weight, up_weight = map(_reorder, linear.weight.chunk(2))
        gate_bias, up_bias = (None, None) if linear.bias is None else linear.bias.chunk(2)
        return cls(gate_weight, up_weight, gate_bias, up_bias)

    def gate(self, rows: torch.Tensor) -> torch.Tensor:
        gate = _multiply(rows, self.gate_weight, self.gate_bias, "swish")
        return _combine(rows, gate, self.up_weight, self.up_bias, "mul")


def _reorder(weight: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, EXPECTED_ROWS)
    return packed


def _multiply(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, function: str = "none"
) -> torch.Tensor:
    """function(x W^T + b)."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, function, [], "")
    return product


def _combine(
    rows: torch.Tensor, other: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, operation: str
) -> torch.Tensor:
    """(x W^T + b) and the other tensor, added or multiplied."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, other, weight, bias, operation)
    return product
