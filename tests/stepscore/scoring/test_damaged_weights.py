"""Weights that are not numbers: every score is an error with a stable code, never the surest reward.

vLLM and trl return what comes out: NaN (trl#435, LlamaFactory#273), and an infinite logit becomes 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import checkpoints
import checkpoints_value_heads as value_heads
from stepscore.config import EngineOptions
from stepscore.errors import UnscorableError
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution

SOLUTION = Solution("How many?", ("3 + 4 = 7", "So it is 7."))


def damage(folder: Path, ending: str, value: float) -> Path:
    for file in folder.glob("*.safetensors"):
        state = load_file(file)
        for key in [key for key in state if key.endswith(ending)]:
            state[key].fill_(value)
        save_file(state, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("write", "ending"),
    [
        (value_heads.skywork, "summary.bias"),
        (value_heads.ensemble, "bias"),
        (checkpoints.qwen_math, "score.2.bias"),
        (checkpoints.qwen_math, "model.norm.weight"),
    ],
)
def test_numbers_that_are_not_finite_are_no_rewards(
    tmp_path: Path, write: Callable[[Path], Path], ending: str, value: float
) -> None:
    options = EngineOptions(device="cpu", dtype="float32")
    whole, damaged = write(tmp_path / "whole"), damage(write(tmp_path / "damaged"), ending, value)
    assert isinstance(open_scorer(str(whole), options=options).score(SOLUTION), Reading)
    with pytest.raises(UnscorableError, match="not finite"):
        open_scorer(str(damaged), options=options).score(SOLUTION)
