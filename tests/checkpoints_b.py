"""Tiny checkpoints of the families that read causal language models, ensembles and outcome reward models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import tokenizers_for_tests as tokenizers
from checkpoints import HIDDEN, State, backbone_state, decoder_config, linear, save, vocabulary_head

CAUSAL = {
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
}


def causal(folder: Path, kind: str = "llama", markers: tuple[str, ...] = (), seed: int = 0, **changes: Any) -> Path:
    """A causal language model with its own vocabulary head, or a tied one. Forty turns of a chat fit in."""
    tokenizer = (tokenizers.llama3 if kind == "llama" else tokenizers.qwen)(*markers)
    config = decoder_config(kind, tokenizer, **{"max_position_embeddings": 4096} | changes)
    head = {} if config.tie_word_embeddings else vocabulary_head(config, seed + 2)
    return save(folder, config, backbone_state(config, seed) | head, tokenizer, CAUSAL[kind])


def ensemble(folder: Path, members: int = 5, inner: int = 16, **changes: Any) -> Path:
    """Qwen2ForEnsemblePRM: `score.model` and the frozen copy `score.reg_model`, which has other numbers here."""
    tokenizer = tokenizers.qwen("<extra_0>")
    config = decoder_config("qwen2", tokenizer, **changes)
    head = _members("score.model", members, inner, seed=3) | _members("score.reg_model", members, inner, seed=4)
    extra = {"num_ensemble": members, "rr_token": "<extra_0>"}
    state = backbone_state(config) | head
    return save(folder, config, state, tokenizer, "Qwen2ForEnsemblePRM", extra_config=extra)


def _members(prefix: str, members: int, inner: int, seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"nn1": (HIDDEN, inner), "nn2": (inner, inner), "nn_out": (inner, 1)}
    state = {}
    for name, (inputs, outputs) in sizes.items():
        state[f"{prefix}.{name}.weight"] = torch.randn(members, inputs, outputs, generator=generator) * 0.3
        state[f"{prefix}.{name}.bias"] = torch.randn(members, outputs, generator=generator) * 0.3
    return state


def path_finder(folder: Path, **changes: Any) -> Path:
    """Qwen2ForCausalLM with the added tokens `<+>`, `<->` and `<extra>`."""
    return causal(folder, "qwen2", ("<+>", "<->", "<extra>"), **changes)


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
    generator = torch.Generator().manual_seed(11)
    head = linear("regression_layer", objectives, bias=False) | linear("gating.layers.0", inner)
    head |= linear("gating.layers.1", inner, inner) | linear("gating.layers.2", objectives, inner)
    head["gating.logit_scale"] = torch.tensor([1.7])
    head["reward_transform_matrix"] = torch.randn(objectives, objectives, generator=generator) * 0.2
    gating = {"gating_temperature": 0.7, "gating_hidden_dim": inner, "gating_n_hidden": 2}
    extra = {"num_objectives": objectives, **gating}
    state = backbone_state(config) | head
    return save(folder, config, state, tokenizer, "LlamaForRewardModelWithGating", extra_config=extra)
