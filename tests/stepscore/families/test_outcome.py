"""Outcome reward models: one reward for each prefix, or the whole answer's for every step."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import checkpoints_outcome as checkpoints
from reference import armo_rm
from reference import outcome as reference
from stepscore.config import EngineOptions, Mode
from stepscore.errors import CheckpointError
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution

PROBLEM = "How many eggs?"
STEPS = ["Janet sells 16 - 3 - 4 = 9 duck eggs a day.", "She makes 9 * 2 = $18.\n\n", "The answer is 18."]

MODELS = {
    "sequence classification": (partial(checkpoints.outcome, kind="llama"), reference.sequence_classification),
    "qwen_math_rm": (checkpoints.qwen_math_rm, reference.qwen_math_rm),
    "armo_rm": (checkpoints.armo_rm, armo_rm.step_rewards),
}


def rewards(folder: Path, **options: str) -> tuple[float, ...]:
    scorer = open_scorer(str(folder), options=EngineOptions(device="cpu", dtype="float32"), family_options=options)
    (reading,) = scorer.score([Solution(PROBLEM, tuple(STEPS))])
    assert isinstance(reading, Reading)
    return reading.rewards


@pytest.mark.parametrize(("make", "authors"), MODELS.values(), ids=MODELS)
def test_final_gives_every_step_the_whole_answers_reward(
    make: Callable[[Path], Path], authors: Callable[..., list[float]], tmp_path: Path
) -> None:
    folder = make(tmp_path / "orm")
    final = rewards(folder, per_step="final")
    assert final == pytest.approx(authors(folder, PROBLEM, STEPS, final=True), rel=1e-5, abs=1e-5)
    assert len(set(final)) == 1
    assert final[-1] == pytest.approx(rewards(folder)[-1], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("mode", ["invariant", "reference"])
def test_a_gated_head_reads_the_same_in_every_mode(mode: Mode, tmp_path: Path) -> None:
    folder = checkpoints.armo_rm(tmp_path / "armo_rm")
    scorer = open_scorer(str(folder), options=EngineOptions(device="cpu", dtype="float32", mode=mode))
    (reading,) = scorer.score([Solution(PROBLEM, tuple(STEPS))])
    assert isinstance(reading, Reading)
    assert reading.rewards == pytest.approx(rewards(folder), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("key", ["gating.logit_scale", "gating.layers.1.weight", "reward_transform_matrix"])
def test_a_gated_head_without_one_of_its_tensors_is_refused(key: str, tmp_path: Path) -> None:
    folder = checkpoints.armo_rm(tmp_path / "armo_rm")
    state = load_file(folder / "model.safetensors")
    save_file({name: tensor for name, tensor in state.items() if name != key}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=key):
        open_scorer(str(folder), options=EngineOptions(device="cpu", dtype="float32"))


def test_padding_is_never_the_last_token(tmp_path: Path) -> None:
    """A config that pads with the closing token moves the reading, as it does in transformers."""
    folder = checkpoints.outcome(tmp_path / "orm", kind="llama")
    before = rewards(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    after = rewards(folder)
    assert after == pytest.approx(reference.sequence_classification(folder, PROBLEM, STEPS), rel=1e-5, abs=1e-5)
    assert max(abs(one - other) for one, other in zip(before, after, strict=True)) > 1e-3
