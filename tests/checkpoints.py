"""Tiny checkpoints of the true architectures and state-dict names, with random weights, written as real folders.

The weights are scaled up so that rewards differ from step to step; with the usual 0.02 all of them would be 0.5 and
a test could not fail.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Model,
    Qwen3Config,
    Qwen3Model,
)

import tokenizers_for_tests as tokenizers

HIDDEN = 32
State = dict[str, torch.Tensor]

KINDS: dict[str, tuple[type[Any], type[PreTrainedModel]]] = {
    "qwen2": (Qwen2Config, Qwen2Model),
    "qwen3": (Qwen3Config, Qwen3Model),
    "llama": (LlamaConfig, LlamaModel),
    "mistral": (MistralConfig, MistralModel),
}


def decoder_config(kind: str, tokenizer: PreTrainedTokenizerFast, **changes: Any) -> Any:
    """A config of 3 layers, width 32, 4 heads over 2 key-value heads, 1,024 positions."""
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer) + 5,
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": False,
        "sliding_window": None,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return KINDS[kind][0](**settings | changes)


def backbone_state(config: Any, seed: int = 0) -> State:
    """The state dict of the backbone under `model.`, random."""
    torch.manual_seed(seed)
    model = KINDS[config.model_type][1](config)
    state = {}
    for key, tensor in model.state_dict().items():
        noise = torch.randn_like(tensor) * 0.25
        state[f"model.{key}"] = noise + 1.0 if key.endswith("norm.weight") else noise
    return state


def linear(name: str, outputs: int, inputs: int = HIDDEN, *, bias: bool = True, seed: int = 1) -> State:
    generator = torch.Generator().manual_seed(seed + outputs + len(name))
    state = {f"{name}.weight": torch.randn(outputs, inputs, generator=generator) * 0.5}
    return state | ({f"{name}.bias": torch.randn(outputs, generator=generator)} if bias else {})


def vocabulary_head(config: Any, seed: int = 2) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {"lm_head.weight": torch.randn(config.vocab_size, config.hidden_size, generator=generator) * 0.5}


def save(
    folder: Path,
    config: Any,
    state: State,
    tokenizer: PreTrainedTokenizerFast,
    architecture: str,
    *,
    shards: int = 1,
    extra_config: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint folder; more than one shard also writes the index."""
    folder.mkdir(parents=True, exist_ok=True)
    written = config.to_dict() | {"architectures": [architecture]} | (extra_config or {})
    (folder / "config.json").write_text(json.dumps(written, indent=1))
    tokenizer.save_pretrained(folder)
    keys = sorted(state)
    names = [
        f"model-{n + 1:05}-of-{shards:05}.safetensors" if shards > 1 else "model.safetensors" for n in range(shards)
    ]
    weight_map = {key: names[index % shards] for index, key in enumerate(keys)}
    for name in names:
        save_file({key: state[key].contiguous() for key in keys if weight_map[key] == name}, folder / name)
    if shards > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def qwen_math(folder: Path, *, shards: int = 1, seed: int = 0, **changes: Any) -> Path:
    """Qwen2ForProcessRewardModel: `score.0`, ReLU, `score.2` over the backbone; marker `<extra_0>`."""
    tokenizer = tokenizers.qwen("<extra_0>")
    config = decoder_config("qwen2", tokenizer, **changes)
    state = backbone_state(config, seed) | linear("score.0", HIDDEN) | linear("score.2", 2)
    return save(folder, config, state, tokenizer, "Qwen2ForProcessRewardModel", shards=shards)


def token_classification(folder: Path, kind: str = "qwen2", *, bos: str = "", **changes: Any) -> Path:
    """`*ForTokenClassification` with two labels, as TRL's PRMTrainer saves it.

    bos: a token that the tokenizer names as its BOS but does not write itself.
    """
    tokenizer = copy.deepcopy(tokenizers.llama3() if kind == "llama" else tokenizers.qwen())
    if bos:
        tokenizer.bos_token = bos
    config = decoder_config(kind, tokenizer, **changes)
    state = backbone_state(config) | linear("score", 2)
    architecture = {"qwen2": "Qwen2", "llama": "Llama", "qwen3": "Qwen3"}[kind] + "ForTokenClassification"
    return save(folder, config, state, tokenizer, architecture)
