"""Tiny outcome reward models: one number for a whole solution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import tokenizers_for_tests as tokenizers
from checkpoints import HIDDEN, State, backbone_state, decoder_config, linear, save


def outcome(folder: Path, kind: str = "qwen2", **changes: Any) -> Path:
    """`*ForSequenceClassification` with one output and no bias."""
    tokenizer = tokenizers.llama3() if kind == "llama" else tokenizers.qwen()
    config = decoder_config(kind, tokenizer, **changes)
    config.num_labels = 1
    state = backbone_state(config) | linear("score", 1, bias=False)
    return save(
        folder, config, state, tokenizer, {"qwen2": "Qwen2", "llama": "Llama"}[kind] + "ForSequenceClassification"
    )


def qwen_math_rm(folder: Path, **changes: Any) -> Path:
    """Qwen2ForRewardModel: `score.0`, ReLU, `score.2` with one output."""
    tokenizer = tokenizers.qwen()
    config = decoder_config("qwen2", tokenizer, **changes)
    state = backbone_state(config) | linear("score.0", HIDDEN) | linear("score.2", 1)
    return save(folder, config, state, tokenizer, "Qwen2ForRewardModel")


def armo_rm(folder: Path, objectives: int = 6, inner: int = 12, **changes: Any) -> Path:
    """LlamaForRewardModelWithGating: objectives, their transform and a gating network of two hidden layers."""
    tokenizer = tokenizers.llama3()
    config = decoder_config("llama", tokenizer, **{"pad_token_id": None} | changes)
    gating = {"gating_temperature": 0.7, "gating_hidden_dim": inner, "gating_n_hidden": 2}
    extra = {"num_objectives": objectives, **gating}
    state = backbone_state(config) | gating_network(objectives, inner)
    return save(folder, config, state, tokenizer, "LlamaForRewardModelWithGating", extra_config=extra)


def gating_network(objectives: int, inner: int) -> State:
    generator = torch.Generator().manual_seed(11)
    head = linear("regression_layer", objectives, bias=False) | linear("gating.layers.0", inner)
    head |= linear("gating.layers.1", inner, inner) | linear("gating.layers.2", objectives, inner)
    head["gating.logit_scale"] = torch.tensor([1.7])
    head["reward_transform_matrix"] = torch.randn(objectives, objectives, generator=generator) * 0.2
    return head
