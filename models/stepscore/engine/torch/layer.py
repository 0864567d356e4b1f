"""One decoder layer, as two functions of tensors: what comes before attention, and what comes after it.

Between them lies the attention, which knows segments and the KV pool. The two functions know neither, so that all that
lies between the attention of one layer and of the next compiles to one graph, for every layer and number of rows.

Shapes: T rows of the forward, D width, H query heads, G key heads, E head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from stepscore.engine.torch.linear import GatedProjection, Projection

LINEARS = ("query_key_value", "attention_out", "gate_up", "down")
"""The fields of a layer that hold large weights."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer. query_norm and key_norm are (E,) if the architecture has them."""

    input_norm: torch.Tensor
    query_key_value: Projection
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    attention_out: Projection
    mlp_norm: torch.Tensor
    gate_up: GatedProjection
    down: Projection
    window: int | None


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """heads, key_heads, head_width: H, G, E."""

    heads: int
    key_heads: int
    head_width: int
    epsilon: float


def rms_norm(rows: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """RMS norm over the last dimension, computed in fp32 as the published models do."""
    rows_fp32 = rows.float()
    scale = torch.rsqrt(rows_fp32.pow(2).mean(-1, keepdim=True) + epsilon)
    return (rows_fp32 * scale).to(rows.dtype) * weight


def rotate(rows_TXE: torch.Tensor, cosine_T1E: torch.Tensor, sine_T1E: torch.Tensor) -> torch.Tensor:
    half = rows_TXE.shape[-1] // 2
    first, second = rows_TXE[..., :half], rows_TXE[..., half:]
    turned = rows_TXE * cosine_T1E
    turned[..., :half].addcmul_(second, sine_T1E[..., :half], value=-1)
    turned[..., half:].addcmul_(first, sine_T1E[..., half:])
    return turned


@dataclass(frozen=True, slots=True)
class Elementwise:
    """What lies between two products: `rms_norm` and `rotate`, or what was compiled of them."""

    norm: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor] = rms_norm
    rotate: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] = rotate


AS_WRITTEN = Elementwise()


def project(
    layer: Layer,
    sizes: LayerSizes,
    hidden_TD: torch.Tensor,
    cosine_T1E: torch.Tensor,
    sine_T1E: torch.Tensor,
    functions: Elementwise = AS_WRITTEN,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query (T, H, E), key and value (T, G, E); query and key are rotated."""
    heads, key_heads = sizes.heads, sizes.key_heads
    mixed = layer.query_key_value(functions.norm(hidden_TD, layer.input_norm, sizes.epsilon))
    mixed_TXE = mixed.view(-1, heads + 2 * key_heads, sizes.head_width)
    turning, value_TGE = torch.split(mixed_TXE, [heads + key_heads, key_heads], dim=1)
    if layer.query_norm is not None and layer.key_norm is not None:
        query_THE, key_TGE = torch.split(turning, [heads, key_heads], dim=1)
        normed = rms_norm(query_THE, layer.query_norm, sizes.epsilon), rms_norm(key_TGE, layer.key_norm, sizes.epsilon)
        turning = torch.cat(normed, dim=1)
    query_THE, key_TGE = torch.split(functions.rotate(turning, cosine_T1E, sine_T1E), [heads, key_heads], dim=1)
    return query_THE, key_TGE, value_TGE


def finish(
    layer: Layer,
    sizes: LayerSizes,
    attended_TD: torch.Tensor,
    hidden_TD: torch.Tensor,
    functions: Elementwise = AS_WRITTEN,
) -> torch.Tensor:
    """The next layer's input (T, D). attended_TD: (T, H x E)."""
    hidden_TD = layer.attention_out.add_to(hidden_TD, attended_TD)
    gated = layer.gate_up.gate(functions.norm(hidden_TD, layer.mlp_norm, sizes.epsilon))
    return layer.down.add_to(hidden_TD, gated)


def connect(
    layer: Layer,
    following: Layer,
    sizes: LayerSizes,
    attended_TD: torch.Tensor,
    hidden_TD: torch.Tensor,
    cosine_T1E: torch.Tensor,
    sine_T1E: torch.Tensor,
    functions: Elementwise = AS_WRITTEN,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """From one layer's attention to the next one's: what `finish` returns, and what `project` makes of that."""
    hidden_TD = finish(layer, sizes, attended_TD, hidden_TD, functions)
    return hidden_TD, *project(following, sizes, hidden_TD, cosine_T1E, sine_T1E, functions)
