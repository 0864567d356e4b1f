"""What an implicit PRM needs besides its checkpoint, and where its sums begin and end."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints_causal as checkpoints
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.errors import CheckpointError, InvalidOption
from stepscore.family.registry import bind, family_named, resolve
from stepscore.scoring.open import open_scorer
from stepscore.types import EncodedSolution, Solution

SOLUTION = Solution("How many?", ("Step 1: 3 + 4 = 7.", "Step 2: The answer is 7."))


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.causal(tmp_path_factory.mktemp("implicit") / f"ImplicitPRM_{request.param}", request.param)


def encode(folder: Path, **options: str) -> EncodedSolution:
    facts = read_facts(folder)
    return bind(resolve(facts), facts, options).layout.encode(SOLUTION)


def test_without_a_reference_model_it_is_an_error(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="reference"):
        open_scorer(str(folder), options=EngineOptions(device="cpu", dtype="float32"))


@pytest.mark.parametrize("coef", ["much", "0", "-1", "nan", "inf"])
def test_a_coefficient_must_be_a_positive_number(folder: Path, coef: str) -> None:
    with pytest.raises(InvalidOption):
        encode(folder, coef=coef)


def test_every_read_token_is_the_next_one(folder: Path) -> None:
    (sequence,) = encode(folder).sequences
    assert [sequence.ids[read + 1] for read in sequence.reads] == list(sequence.targets)


def test_the_script_begins_one_token_after_the_card(folder: Path) -> None:
    card, script = encode(folder), encode(folder, masking="processbench")
    assert card.sequences[0].reads[1:] == script.sequences[0].reads
    assert tuple(mark - 1 for mark in card.marks) == script.marks


def test_the_stages_have_their_own_aggregates() -> None:
    assert family_named("implicit").aggregate == "min"
    assert family_named("implicit_stage2").aggregate == "last"
