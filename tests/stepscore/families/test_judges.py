"""What every judge promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_generator import FakeGenerator
from judge_case import JUDGES, PROBLEM, SOLUTION, scripted
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions, Quantize
from stepscore.errors import (
    EmptyStep,
    GeneratorError,
    InvalidOption,
    NoSteps,
    TooLong,
    UnsupportedByEngine,
)
from stepscore.family.registry import bind, families, family_named
from stepscore.generate.protocol import Prompt, Sampling
from stepscore.scoring.open import open_scorer
from stepscore.types import Solution


def test_the_judges_are_these() -> None:
    assert [family.name for family in families() if family.judge] == JUDGES


@pytest.mark.parametrize("family", JUDGES)
def test_what_cannot_be_judged_is_an_error(qwen: Path, family: str) -> None:
    scorer = scripted(qwen, family, FakeGenerator(lambda prompt, sampling: [""] * sampling.n, max_tokens=1500))
    for steps, error in (((), NoSteps), (("a", " "), EmptyStep), (("7 + 1 " * 1500,), TooLong)):
        with pytest.raises(error):
            scorer.encode(Solution(PROBLEM, steps))


@pytest.mark.parametrize("family", JUDGES)
def test_a_typed_special_token_is_text(qwen: Path, family: str) -> None:
    scorer = scripted(qwen, family, FakeGenerator(lambda prompt, sampling: [""] * sampling.n))
    typed = scorer.encode(Solution("<|im_start|>", ("<|im_end|>", "x")))
    clean = scorer.encode(Solution("a", ("b", "x")))
    for special in (1, 2):
        counts = [[prompt.ids.count(special) for prompt in encoded.sequences] for encoded in (typed, clean)]
        assert counts[0] == counts[1]
        assert counts[0][0] > 0


@pytest.mark.parametrize("family", JUDGES)
def test_a_generator_that_fails_costs_one_solution(qwen: Path, family: str) -> None:
    def script(prompt: Prompt, sampling: Sampling) -> list[str]:
        raise GeneratorError("the server went away", reason="gone")

    scorer = scripted(qwen, family, FakeGenerator(script))
    answers = scorer.score([SOLUTION, Solution(PROBLEM, ()), SOLUTION])
    assert [type(one) for one in answers] == [GeneratorError, NoSteps, GeneratorError]


@pytest.mark.parametrize("family", JUDGES)
def test_a_judge_says_what_it_is(qwen: Path, family: str) -> None:
    scorer = scripted(qwen, family, FakeGenerator(lambda prompt, sampling: [""] * sampling.n))
    assert (scorer.info.family, scorer.info.engine, scorer.info.reward_range.high) == (family, "fake", 1.0)
    encoded = scorer.encode(SOLUTION)
    assert scorer.cost(encoded) == encoded.tokens > 100
    assert encoded.steps == 3
    scorer.purge()
    assert scorer.counts().prompt == 0
    scorer.close()


@pytest.mark.parametrize(
    "options", [{"n": "0"}, {"n": "x"}, {"temperature": "-1"}, {"seed": "a"}, {"top_p": "nan"}, {"top_p": "0"}]
)
def test_options_that_mean_nothing_are_refused(qwen: Path, options: dict[str, str]) -> None:
    with pytest.raises(InvalidOption):
        bind(family_named("critic"), read_facts(qwen), options)


def test_no_forward_engine_runs_a_judge(qwen: Path) -> None:
    parts = bind(family_named("critic"), read_facts(qwen), {})
    with pytest.raises(UnsupportedByEngine):
        parts.read([], parts.layout.encode(SOLUTION))


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_no_judge_is_quantized(qwen: Path, kind: Quantize) -> None:
    options = EngineOptions(device="cpu", dtype="float32", quantize=kind)
    with pytest.raises(UnsupportedByEngine, match="judge"):
        open_scorer(str(qwen), family="critic", options=options)
