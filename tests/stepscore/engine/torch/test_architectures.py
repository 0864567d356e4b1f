"""Packed forwards give the numbers of transformers' own models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import engine_case as case
from stepscore.errors import UnsupportedByEngine

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {}),
    "qwen2 sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1, "layer_types": None},
    ),
    "qwen3": ("qwen3", {}),
    "qwen3 with biases and wide heads": ("qwen3", {"attention_bias": True, "head_dim": 16}),
    "llama": ("llama", {}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama3 rope": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "linear rope": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}}),
    "yarn": (
        "qwen2",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 256,
            }
        },
    ),
    "mistral": ("mistral", {}),
    "mistral sliding": ("mistral", {"sliding_window": 12}),
    "one key head": ("qwen2", {"num_key_value_heads": 1}),
    "no grouping": ("llama", {"num_key_value_heads": 4}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_transformers(tmp_path: Path, name: str) -> None:
    kind, changes = VARIANTS[name]
    facts = case.write(tmp_path, kind, **changes)
    sequences = case.batch(seed=3)
    wanted = case.class_logits(facts, sequences)
    for mode in ("invariant", "fast"):
        engine = case.engine(facts, mode=mode, max_batch_tokens=90)
        case.assert_close(engine.forward(sequences), wanted)
        case.assert_close(engine.forward(sequences[::-1]), wanted[::-1])


def test_equals_the_reference_mode(tmp_path: Path) -> None:
    from stepscore.config import EngineOptions
    from stepscore.engine.open import open_engine

    facts = case.write(tmp_path)
    sequences = case.batch(seed=4)
    reference = open_engine(facts, case.CLASS_HEAD, EngineOptions(device="cpu", dtype="float32", mode="reference"))
    assert reference.info.mode == "reference"
    case.assert_close(reference.forward(sequences), case.class_logits(facts, sequences))
    assert reference.counts().computed == sum(len(one.ids) for one in sequences)


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
    ],
)
def test_dynamic_rope_runs_up_to_the_length_it_was_made_for(tmp_path: Path, changes: dict[str, Any]) -> None:
    facts = case.write(tmp_path, "llama", **changes)
    sequences = case.batch(seed=5)
    case.assert_close(case.engine(facts).forward(sequences), case.class_logits(facts, sequences))
    with pytest.raises(UnsupportedByEngine, match="dynamic"):
        case.engine(facts, max_tokens=2048)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    facts = case.write(tmp_path)
    with pytest.raises(UnsupportedByEngine, match="gpt2"):
        case.engine(replace(facts, config={**facts.config, "model_type": "gpt2"}))


@pytest.mark.cpu_probe
def test_bfloat16_stays_near_float32(tmp_path: Path) -> None:
    facts = case.write(tmp_path)
    sequences = case.batch(seed=6, size=3)
    exact = case.engine(facts).forward(sequences)
    rough = case.engine(facts, dtype="bfloat16").forward(sequences)
    widest = max(abs(one).max() for one in exact)
    assert all(abs(one - other).max() < 0.1 * widest for one, other in zip(exact, rough, strict=True))
