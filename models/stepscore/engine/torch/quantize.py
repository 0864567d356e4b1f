"""Decoder weights in 8 bits, one scale for each row of a weight, on CUDA.

`int8` halves the memory of 16-bit weights and turns them back before every product: it saves room, not time. `fp8`
(e4m3) multiplies in 8 bits, with a scale for each row of the input as well; it needs Hopper or Ada, and compiled
layers: unfused, scaling the input moves more bytes than the product saves. Embeddings, norms and heads stay as they
are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional

from stepscore.config import Quantize
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.linear import Linear, Projection

FP8 = torch.float8_e4m3fn
LARGEST = {"int8": 127.0, "fp8": 448.0}
Product = Callable[..., torch.Tensor]


def quantize(decoder: Decoder, kind: Quantize) -> None:
    """Turn the decoder's large weights into 8 bits."""
    decoder.replace_linears(Int8Linear.of if kind == "int8" else Fp8Linear.of)


@dataclass(frozen=True, slots=True)
class Int8Linear(Projection):
    """x W^T + b. weight: (out, in) int8; scale: (out,) fp32."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None
    tile: int = 0

    @classmethod
    def of(cls, linear: Linear) -> Int8Linear:
        weight, scale = _scaled(linear.weight, "int8")
        return cls(weight.round().to(torch.int8), scale, linear.bias)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        out = functional.linear(rows, self.weight.to(rows.dtype)).mul_(self.scale)
        return out if self.bias is None else out.add_(self.bias)

    def padded_rows(self, rows: int) -> int:
        return rows


@dataclass(frozen=True, slots=True)
class Fp8Linear(Projection):
    """x W^T + b. weight: (out, in) e4m3; scale: (1, out) fp32. product: what `torch._scaled_mm` does."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None
    product: Product = torch._scaled_mm
    tile: int = 0

    @classmethod
    def of(cls, linear: Linear, product: Product = torch._scaled_mm) -> Fp8Linear:
        weight, scale = _scaled(linear.weight, "fp8")
        return cls(weight.to(FP8), scale.unsqueeze(0).contiguous(), linear.bias, product)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        small, scale = _scaled(rows, "fp8")
        multiply = partial(self.product, scale_a=scale.unsqueeze(1).contiguous(), scale_b=self.scale)
        out = multiply(small.to(FP8), self.weight.t(), out_dtype=rows.dtype)
        return out if self.bias is None else out.add_(self.bias)

    def padded_rows(self, rows: int) -> int:
        return rows


def _scaled(rows_RE: torch.Tensor, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows stretched to the range of the numbers to come, in fp32, and what each was divided by, (R,)."""
    wide_RE = rows_RE.float()
    scale_R = wide_RE.abs().amax(-1).clamp_(min=1e-12) / LARGEST[kind]
    return wide_RE / scale_R.unsqueeze(1), scale_R
