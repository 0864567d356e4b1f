"""What is measured: checkpoints of one shape each, with a head that every way can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2Model

from stepscore.checkpoint import checkpoint_facts, read_facts
from stepscore.config import CheckpointFacts
from stepscore.families.number_logprob import CONFIG_KEY
from stepscore.family.heads import Head, LinearHead, TokenLogProbHead
from stepscore.types import Values

CLASSES = LinearHead(("score.0", "score.2"), outputs=2)
OWN = TokenLogProbHead(reference=False)

EMBEDDED = "embedded"
SHAPES: dict[str, dict[str, Any]] = {
    "135M": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
    "0.5B": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "rope_theta": 1000000.0,
    },
    "7B": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
    "tiny": {
        "hidden_size": 128,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
    },
}
"""SmolLM2-135M's and Qwen2.5-0.5B's sizes, Qwen2.5-Math-PRM-7B's for a GPU, and one to try the benchmark with."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A checkpoint with a head. reward: (S, C) numbers of the head to S rewards in [0, 1]."""

    name: str
    facts: CheckpointFacts
    head: Head
    reward: Callable[[Values], Values]

    @property
    def marker(self) -> int:
        return int(self.facts.config["vocab_size"]) - 1

    @property
    def reads_targets(self) -> bool:
        return isinstance(self.head, TokenLogProbHead)


def prepare(shape: str, folder: Path, device: str) -> Subject:
    """The embedded checkpoint with its own head, or a shape with random weights and Qwen's class head."""
    if shape == EMBEDDED:
        facts = checkpoint_facts(EMBEDDED)
        return Subject(shape, facts, OWN, partial(reward_of_token, **facts.config[CONFIG_KEY]))
    return Subject(shape, write_checkpoint(folder, SHAPES[shape], device), CLASSES, probability_of_class)


def write_checkpoint(folder: Path, shape: dict[str, Any], device: str = "cpu") -> CheckpointFacts:
    """A process reward model with random weights: speed does not depend on their values. bf16 on a GPU, fp32 on CPU."""
    torch.manual_seed(0)
    config = Qwen2Config(**shape, max_position_embeddings=4096, tie_word_embeddings=True)
    dtype, width = torch.float32 if device == "cpu" else torch.bfloat16, config.hidden_size
    with torch.device(device):
        state = {f"model.{key}": tensor for key, tensor in Qwen2Model(config).state_dict().items()}
        state |= {"score.0.weight": torch.randn(width, width) * 0.05, "score.0.bias": torch.zeros(width)}
        state |= {"score.2.weight": torch.randn(2, width) * 0.1, "score.2.bias": torch.zeros(2)}
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.save_pretrained(folder)
    save_file({key: tensor.to("cpu", dtype) for key, tensor in state.items()}, folder / "model.safetensors")
    del state
    torch.cuda.empty_cache()  # vLLM wants nearly all of the GPU's memory; nothing happens without a GPU
    return read_facts(folder)


def probability_of_class(logits: Values) -> Values:
    """The second of two classes."""
    return np.asarray(1.0 / (1.0 + np.exp(logits[:, 0].astype(np.float64) - logits[:, 1])))


def reward_of_token(logprobs: Values, slope: float, offset: float, **unused: float) -> Values:
    """The embedded checkpoint's reward, were the token a number."""
    return np.asarray(1.0 / (1.0 + np.exp(-(slope * logprobs[:, 0].astype(np.float64) + offset))))
