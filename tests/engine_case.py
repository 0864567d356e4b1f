"""Tiny checkpoints, random batches and the plain transformers computation that the engine's tests compare with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

import checkpoints
import tokenizers_for_tests as tokenizers
from stepscore.checkpoint import read_facts
from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.open import open_engine
from stepscore.engine.torch.engine import TorchEngine
from stepscore.family.heads import Head, LinearHead
from stepscore.types import Encoded, Values

CLASS_HEAD = LinearHead(("score.0", "score.2"), outputs=2)
VOCABULARY = 64
TOLERANCE = 1e-5


def write(folder: Path, kind: str = "qwen2", *, head: bool = True, seed: int = 0, **changes: Any) -> CheckpointFacts:
    """A checkpoint of 3 layers and 64 tokens with a two-layer class head and a language-model head."""
    tokenizer = tokenizers.qwen()
    config = checkpoints.decoder_config(kind, tokenizer, **{"vocab_size": VOCABULARY} | changes)
    state = checkpoints.backbone_state(config, seed)
    if head:
        state |= checkpoints.linear("score.0", checkpoints.HIDDEN) | checkpoints.linear("score.2", 2)
    if not config.tie_word_embeddings:
        state |= checkpoints.vocabulary_head(config, seed + 2)
    checkpoints.save(folder, config, state, tokenizer, "Qwen2ForProcessRewardModel")
    return read_facts(folder)


def engine(facts: CheckpointFacts, head: Head = CLASS_HEAD, **options: Any) -> TorchEngine:
    opened = open_engine(facts, head, EngineOptions(**{"device": "cpu", "dtype": "float32"} | options))
    assert isinstance(opened, TorchEngine)
    return opened


def batch(seed: int, size: int = 8, longest: int = 60, *, targets: bool = False, shared: int = 20) -> list[Encoded]:
    """Sequences of many lengths; most start with a part of one common prefix, some are the same twice."""
    chance = random.Random(seed)
    prefix = [chance.randrange(VOCABULARY) for _ in range(shared)]
    made: list[Encoded] = []
    for _ in range(size):
        if made and chance.random() < 0.15:
            made.append(chance.choice(made))
            continue
        own = [chance.randrange(VOCABULARY) for _ in range(chance.randint(1, longest))]
        ids = (*prefix[: chance.randint(0, shared)], *own)
        reads = tuple(sorted(chance.sample(range(len(ids)), chance.randint(1, min(5, len(ids))))))
        aims = tuple(chance.randrange(VOCABULARY) for _ in reads) if targets else ()
        made.append(Encoded(ids, reads, aims))
    return made


def largest(found: Sequence[Values], wanted: Sequence[Values]) -> float:
    """The largest difference."""
    return max(float(np.abs(one - other).max(initial=0)) for one, other in zip(found, wanted, strict=True))


def state_of(facts: CheckpointFacts) -> dict[str, torch.Tensor]:
    return {key: value for file in facts.path.glob("*.safetensors") for key, value in load_file(file).items()}


def backbone(facts: CheckpointFacts) -> Any:
    """transformers' own model over the checkpoint's own weights."""
    config, model = checkpoints.KINDS[facts.config["model_type"]]
    made = model(config.from_dict(dict(facts.config))).eval()
    made.load_state_dict({k.removeprefix("model."): v for k, v in state_of(facts).items() if k.startswith("model.")})
    return made


@torch.no_grad()
def hidden(facts: CheckpointFacts, sequences: Sequence[Encoded]) -> list[torch.Tensor]:
    """Final hidden states at the reads, one sequence at a time."""
    model = backbone(facts)
    return [model(torch.tensor([one.ids])).last_hidden_state[0][list(one.reads)] for one in sequences]


def class_logits(facts: CheckpointFacts, sequences: Sequence[Encoded]) -> list[Values]:
    """The model card's head, by hand."""
    state = state_of(facts)
    found = []
    for rows in hidden(facts, sequences):
        inner = torch.relu(rows @ state["score.0.weight"].T + state["score.0.bias"])
        found.append((inner @ state["score.2.weight"].T + state["score.2.bias"]).numpy())
    return found


def assert_close(first: Sequence[Values], second: Sequence[Values]) -> None:
    """Within 1e-5 of the largest number (the tiny models' logits reach some tens), or of 1 where all are smaller."""
    scale = max(1.0, *(float(np.abs(one).max(initial=0.0)) for one in second))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.0, atol=TOLERANCE * scale)
