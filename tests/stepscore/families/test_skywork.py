"""Skywork's lines and our steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

import checkpoints_value_heads as checkpoints
import tokenizers_for_tests as tokenizers
from loading_case import CPU
from reference import skywork as reference
from stepscore.errors import CheckpointError
from stepscore.families.skywork import build
from stepscore.family.layout import LayoutContext
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Reading, Solution

PROBLEM = "How many eggs?\n"
STEPS = ("First:\n   16 - 7 = 9 eggs.", "\nThen\n\n9 * 2 = 18.\n", "So 18.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.skywork(tmp_path_factory.mktemp("skywork") / "model")


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scoring:
    return open_scorer(str(folder), options=CPU)


def rewards(scorer: Scoring, steps: tuple[str, ...]) -> tuple[float, ...]:
    (reading,) = scorer.score([Solution(PROBLEM, steps)])
    assert isinstance(reading, Reading), reading
    return reading.rewards


def test_ids_are_the_authors_for_the_joined_response(scorer: Scoring, folder: Path) -> None:
    (sequence,) = scorer.encode(Solution(PROBLEM, STEPS)).sequences
    ids, flags = reference.prepare_input(PROBLEM, "\n".join(STEPS), AutoTokenizer.from_pretrained(folder), "\n")
    assert list(sequence.ids) == ids
    assert all(flags[read] for read in sequence.reads)
    assert sum(flags) > len(sequence.reads)


def test_a_solution_split_into_lines_gives_all_of_the_authors_numbers(scorer: Scoring, folder: Path) -> None:
    text = "First:\n  16 - 7 = 9.\nThen 18.\nSo 18."
    assert rewards(scorer, tuple(text.split("\n"))) == pytest.approx(
        reference.line_rewards(folder, PROBLEM, text), abs=1e-5
    )


def test_steps_of_many_lines_carry_the_number_of_their_last_line(scorer: Scoring, folder: Path) -> None:
    lines = reference.line_rewards(folder, PROBLEM, "\n".join(STEPS))
    assert len(lines) == 2 + 5 + 1
    assert rewards(scorer, STEPS) == pytest.approx([lines[1], lines[6], lines[7]], abs=1e-5)


def test_the_config_names_the_bos_where_the_tokenizer_does_not() -> None:
    tokenizer = StepTokenizer(tokenizers.qwen())
    options = {"lines": "authors"}
    (sequence,) = (
        build(LayoutContext(tokenizer, {"bos_token_id": 0}, options)).layout.encode(Solution("a", ("b",))).sequences
    )
    assert sequence.ids[0] == 0
    with pytest.raises(CheckpointError):
        build(LayoutContext(tokenizer, {"bos_token_id": None}, options))
