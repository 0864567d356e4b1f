"""The further numbers that some families publish beside the rewards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import checkpoints_causal
import checkpoints_value_heads
from reference import act_prm
from stepscore.config import EngineOptions
from stepscore.families.path_finder import read_gated
from stepscore.scoring.open import open_scorer
from stepscore.types import EncodedSolution, Reading, Solution

PROBLEM = "How many flamingos?"
STEPS = [f"Step {n}: {n} + 4 = {n + 4}." for n in range(12)]


def read(folder: Path) -> Reading:
    scorer = open_scorer(str(folder), options=EngineOptions(device="cpu", dtype="float32"))
    (reading,) = scorer.score([Solution(PROBLEM, tuple(STEPS))])
    assert isinstance(reading, Reading)
    return reading


def test_an_ensemble_tells_its_spread(tmp_path: Path) -> None:
    reading = read(checkpoints_value_heads.ensemble(tmp_path / "act_prm"))
    votes = act_prm.votes(tmp_path / "act_prm", PROBLEM, STEPS)
    assert reading.extras["spread"] == pytest.approx(votes.std(dim=0, correction=0).tolist(), abs=1e-5)
    assert max(reading.extras["spread"]) > 0.01
    assert [len(row) for row in reading.logits] == [5] * len(STEPS)


def test_path_finder_tells_why_a_step_is_minus_one(tmp_path: Path) -> None:
    """Both branches occur in this run, so that each is compared with the reference somewhere."""
    reading = read(checkpoints_causal.path_finder(tmp_path / "path_finder"))
    kinds = zip(
        reading.rewards, *(reading.extras[name] for name in ("math", "consistency", "correctness")), strict=True
    )
    for reward, math, consistency, correctness in kinds:
        assert reward == (-1.0 if min(math, consistency) < 0.5 else correctness)
    assert -1.0 in reading.rewards
    assert max(reading.rewards) > 0.0


@pytest.mark.parametrize(
    ("first", "expected"), [([0, 0, 0, 0], 0.5), ([1, 0, 0, 1], -1.0), ([0, 1, 1, 0], -1.0), ([2, 1, 3, 1], 0.5)]
)
def test_path_finder_takes_the_good_token_when_equal(first: list[float], expected: float) -> None:
    pass_one = np.array(first, dtype=np.float32).reshape(2, 2)
    reading = read_gated([pass_one, np.zeros((1, 2), dtype=np.float32)], EncodedSolution((), steps=1))
    assert reading.rewards == (expected,)
