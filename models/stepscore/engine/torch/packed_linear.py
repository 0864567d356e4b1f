"""Weights in the order in which oneDNN multiplies them.

In bfloat16 a CPU would put them in order in every forward. For a few rows, a tree node or a step of a beam, that costs
about as much as the products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stepscore.config import Mode
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.linear import Linear

EXPECTED_ROWS = 128
"""The order suits this number of rows best, and serves every other."""

SIZES_PER_DOUBLING, FINEST = 8, 4
"""oneDNN prepares each number of rows once and keeps about a megabyte for it: only so many numbers are used between a
power of two and the next, and only multiples of the finest."""


def packs(mode: Mode, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether weights are packed: mode fast in bfloat16 on a CPU for which oneDNN has such products."""
    wanted = mode == "fast" and device.type == "cpu" and dtype == torch.bfloat16
    available: bool = wanted and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack(decoder: Decoder) -> None:
    """Replace the decoder's large weights, layer by layer. Not for layers that are compiled."""
    decoder.replace_linears(PackedLinear.of)


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """x W^T + b as `Linear` without tiles, bit for bit on CPUs with bfloat16 units.

    weight: (out, in), which only oneDNN can read.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    tile: int = 0

    @classmethod
    def of(cls, linear: Linear) -> PackedLinear:
        return cls(torch.ops.mkldnn._reorder_linear_weight(linear.weight, EXPECTED_ROWS), linear.bias)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, "none", [], "")
        return product

    def padded_rows(self, rows: int) -> int:
        """The number of rows, rounded up by at most an eighth, or three rows, to one of few that oneDNN gets."""
        step = max(FINEST, (1 << max(rows - 1, 0).bit_length()) // (2 * SIZES_PER_DOUBLING))
        return step * -(-rows // step)
