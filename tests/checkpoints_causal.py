"""Tiny causal language models, which some families read as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers_for_tests as tokenizers
from checkpoints import backbone_state, decoder_config, save, vocabulary_head

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


def path_finder(folder: Path, **changes: Any) -> Path:
    """Qwen2ForCausalLM with the added tokens `<+>`, `<->` and `<extra>`."""
    return causal(folder, "qwen2", ("<+>", "<->", "<extra>"), **changes)
