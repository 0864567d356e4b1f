from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import checkpoints
from stepscore.config import EngineOptions
from stepscore.errors import CheckpointError, EmptyStep, InvalidOption, TooLong, UnknownFamily, UnscorableError
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring, check_reading
from stepscore.types import Reading, Solution

CPU = EngineOptions(device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.qwen_math(tmp_path_factory.mktemp("scorer") / "tiny-prm")


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scoring:
    return open_scorer(str(folder), name="tiny", options=CPU)


def test_the_model_says_what_it_is(scorer: Scoring) -> None:
    info = scorer.info
    assert (info.id, info.family, info.aggregate, info.threshold) == ("tiny", "qwen_math", "prod", 0.5)
    assert (info.device, info.dtype, info.max_tokens) == ("cpu", "float32", 1024)
    assert len(info.revision) == 16


def test_errors_keep_their_place(scorer: Scoring) -> None:
    good, bad = Solution("How many?", ("3 + 4 = 7",)), Solution("How many?", ("3 + 4 = 7", " "))
    answers = scorer.score([bad, good, bad])
    assert [type(answer) for answer in answers] == [EmptyStep, Reading, EmptyStep]


def test_too_long_says_by_how_much(scorer: Scoring) -> None:
    with pytest.raises(TooLong) as caught:
        scorer.encode(Solution("How many?", ("7 + 1 " * 1000,)))
    detail = caught.value.detail
    assert detail["excess"] == detail["tokens"] - detail["limit"] > 0


def test_a_limit_of_tokens_can_be_lowered(folder: Path) -> None:
    small = open_scorer(str(folder), options=dataclasses.replace(CPU, max_tokens=50))
    with pytest.raises(TooLong):
        small.encode(Solution("How many?", ("3 + 4 = 7",) * 20))


def test_rewards_that_are_no_numbers_are_errors() -> None:
    with pytest.raises(UnscorableError) as caught:
        check_reading(Reading((0.5, float("nan"))), steps=2)
    assert caught.value.detail == {"step": 1}
    with pytest.raises(UnscorableError):
        check_reading(Reading((0.5,)), steps=2)


def test_a_model_with_broken_weights_gives_errors_not_numbers(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = checkpoints.qwen_math(tmp_path / "broken")
    state = load_file(folder / "model.safetensors")
    state["score.2.bias"] = torch.tensor([float("nan"), 0.0])
    save_file(state, folder / "model.safetensors")
    (answer,) = open_scorer(str(folder), options=CPU).score([Solution("How many?", ("3 + 4 = 7",))])
    assert isinstance(answer, UnscorableError)


def test_unknown_names_say_what_there_is(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownFamily) as caught:
        open_scorer(str(folder), family="qwen_maths", options=CPU)
    assert "qwen_math" in caught.value.detail["families"]
    with pytest.raises(InvalidOption):
        open_scorer(str(folder), options=CPU, family_options={"sytem": ""})
    with pytest.raises(CheckpointError, match="is not a folder"):
        open_scorer(str(tmp_path / "nowhere"), options=CPU)


def test_tokens_are_counted(scorer: Scoring) -> None:
    scorer.purge()
    before = scorer.counts()
    solution = Solution("How many?", ("3 + 4 = 7", "so 7"))
    scorer.score([solution])
    after = scorer.counts()
    assert after.prompt - before.prompt == scorer.encode(solution).tokens
    assert after.computed - before.computed <= after.prompt - before.prompt
