"""From a checkpoint's files to a decoder: every tensor by name, never one that was made up."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from stepscore.engine.torch.architecture import Architecture
from stepscore.engine.torch.decoder import Decoder
from stepscore.engine.torch.layer import Layer
from stepscore.engine.torch.linear import Linear
from stepscore.engine.torch.weights import Weights, backbone_prefix
from stepscore.errors import CheckpointError
from stepscore.placement import Placement

HARMLESS = re.compile(r"rotary_emb\.inv_freq$|(^|\.)lm_head\.")
"""Rotary tables that older checkpoints carry beside the config, and a causal head left on a class model."""


def load_decoder(weights: Weights, architecture: Architecture, placement: Placement) -> Decoder:
    """The backbone, whole. Raises CheckpointError for a missing, a misshapen or an unknown key under its prefix."""
    prefix = backbone_prefix(weights)
    reader = _Reader(weights, placement)
    embedding = reader.vector(f"{prefix}embed_tokens.weight", (architecture.vocabulary, architecture.width))
    layers = tuple(
        _layer(reader, f"{prefix}layers.{number}.", architecture, number) for number in range(architecture.layers)
    )
    decoder = Decoder(architecture, embedding, layers, reader.vector(f"{prefix}norm.weight", (architecture.width,)))
    refuse_leftovers(weights, f"{prefix}layers.")
    return decoder


def refuse_leftovers(weights: Weights, prefix: str) -> None:
    """Raises CheckpointError if the files hold something under the prefix that the model would not use."""
    leftovers = [key for key in weights.unread(prefix) if not HARMLESS.search(key)]
    if leftovers:
        raise CheckpointError(
            f"{weights.path} holds tensors that its config has no place for: {', '.join(leftovers[:5])}",
            path=str(weights.path),
            unexpected=leftovers,
        )


class _Reader:
    """Reads tensors to their place; parts of one buffer are copied straight into it."""

    def __init__(self, weights: Weights, placement: Placement) -> None:
        self._weights = weights
        self._placement = placement

    def vector(self, key: str, shape: tuple[int, ...]) -> torch.Tensor:
        return self._weights.get(key, shape).to(self._placement.device, self._placement.dtype)

    def linear(self, names: Sequence[str], heights: Sequence[int], inputs: int, *, bias: bool) -> Linear:
        """One layer from several of the checkpoint that read the same input, one under the other."""
        weight = self._stacked([f"{name}.weight" for name in names], heights, (inputs,))
        biases = self._stacked([f"{name}.bias" for name in names], heights, ()) if bias else None
        return Linear(weight, biases, self._placement.tile)

    def _stacked(self, keys: Sequence[str], heights: Sequence[int], rest: tuple[int, ...]) -> torch.Tensor:
        if len(keys) == 1:
            return self.vector(keys[0], (heights[0], *rest))
        buffer = torch.empty((sum(heights), *rest), device=self._placement.device, dtype=self._placement.dtype)
        for key, height, part in zip(keys, heights, torch.split(buffer, list(heights)), strict=True):
            part.copy_(self._weights.get(key, (height, *rest)))
        return buffer


def _layer(reader: _Reader, prefix: str, architecture: Architecture, number: int) -> Layer:
    attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."
    queries, keys = architecture.heads * architecture.head_width, architecture.key_heads * architecture.head_width
    projections = [f"{attention}{name}_proj" for name in "qkv"]
    normed = architecture.query_key_norm
    return Layer(
        input_norm=reader.vector(f"{prefix}input_layernorm.weight", (architecture.width,)),
        query_key_value=reader.linear(
            projections, (queries, keys, keys), architecture.width, bias=architecture.qkv_bias
        ),
        query_norm=reader.vector(f"{attention}q_norm.weight", (architecture.head_width,)) if normed else None,
        key_norm=reader.vector(f"{attention}k_norm.weight", (architecture.head_width,)) if normed else None,
        attention_out=reader.linear([f"{attention}o_proj"], (architecture.width,), queries, bias=architecture.out_bias),
        mlp_norm=reader.vector(f"{prefix}post_attention_layernorm.weight", (architecture.width,)),
        gate_up=reader.linear(
            [f"{mlp}gate_proj", f"{mlp}up_proj"],
            (architecture.inner, architecture.inner),
            architecture.width,
            bias=architecture.mlp_bias,
        ),
        down=reader.linear([f"{mlp}down_proj"], (architecture.width,), architecture.inner, bias=architecture.mlp_bias),
        window=architecture.windows[number],
    )
