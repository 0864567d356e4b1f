from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.embedded.corrupt import altered, corruptions, value_of
from recipes.embedded.gsm8k import ENDINGS, Equation, Worked, parse_step, read_worked, strip_notes, styled
from recipes.embedded.judging import miscalculates

ROW = {
    "question": "Natalia sold clips to 48 of her friends in April, and half as many in May. How many altogether?",
    "answer": (
        "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"
        "Natalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n#### 72"
    ),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW) + "\n")
    return path


def test_notes_become_equations() -> None:
    step = parse_step("Natalia sold 48/2 = <<48/2=24>>24 clips in May.")
    assert step.text == "Natalia sold 48/2 = 24 clips in May."
    assert step.equations == (Equation("48/2", "24", 20),)
    assert step.text[20:22] == "24"
    assert strip_notes("a <<1+1=2>>2") == "a 2"


def test_styles_keep_the_places_of_results(file: Path) -> None:
    worked = next(read_worked(file))
    for seed in range(20):
        dressed = styled(worked, random.Random(seed))
        for step in dressed.steps:
            for equation in step.equations:
                assert step.text[equation.place :].startswith(equation.result)
        assert len(dressed.steps) in (2, 3)
    assert ENDINGS[0] == ""


def test_every_corruption_is_a_mistake_in_the_last_step(file: Path) -> None:
    worked = styled(next(read_worked(file)), random.Random(3))
    texts = [step.text for step in worked.steps]
    found = [bad for seed in range(30) for bad in corruptions(worked, random.Random(seed))]
    assert {bad.kind for bad in found} >= {"result", "operand", "operation", "swap", "skip", "repeat"}
    for bad in found:
        *before, wrong = bad.solution.steps
        assert before == texts[: len(before)]
        assert wrong != texts[len(before)]


def test_corruptions_are_the_same_for_a_seed(file: Path) -> None:
    worked = next(read_worked(file))
    assert list(corruptions(worked, random.Random(7))) == list(corruptions(worked, random.Random(7)))


def test_a_wrong_operand_carries_its_result(file: Path) -> None:
    worked = next(read_worked(file))
    wrong = {
        bad.solution.steps[-1]
        for seed in range(40)
        for bad in corruptions(worked, random.Random(seed))
        if bad.kind == "operand"
    }
    for text in wrong:
        expression, result = text.removeprefix("Natalia sold ").split(" clips")[0].split(" = ")
        value = value_of(expression)
        assert value is not None
        assert float(result.replace(",", "")) == pytest.approx(value, abs=0.01)


LONG = Worked(
    "Of 124 passengers 58 got off, 22 got on, 12 more, and each of 3 paid $148.",
    (
        parse_step("With 124 passengers, 58 off and 22 on there are 124 - 58 + 22 = <<124-58+22=88>>88."),
        parse_step("Each of 3 pays 148 * 48 = $<<148*48=7104>>7,104."),
        parse_step("So 10 * 6 / 20 * 3 = <<10*6/20*3=9>>9, and 88 - 3 - 5 - 7 = <<88-3-5-7=73>>73."),
    ),
    "73",
)


@given(st.integers(0, 10**6))
def test_a_step_says_its_own_number_whatever_the_mistake(seed: int) -> None:
    """`Step 9: ` after `Step 1: ` would tell that it is wrong."""
    rng = random.Random(seed)
    worked = styled(LONG, rng)
    for bad in corruptions(worked, rng):
        *before, wrong = bad.solution.steps
        assert wrong.startswith(worked.steps[len(before)].prefix)
        assert ("Step" in wrong) == ("Step" in worked.steps[len(before)].text)


@given(st.integers(0, 10**6))
def test_what_follows_from_another_operand_or_operation_is_worked_out(seed: int) -> None:
    for bad in corruptions(LONG, random.Random(seed)):
        if bad.kind in ("operand", "swap", "operation"):
            assert not miscalculates(bad.solution.steps[-1].replace(",", "")), bad


@given(st.integers(0, 10**6), st.integers(0, 1000))
def test_an_altered_number_is_another_number(number: int, seed: int) -> None:
    assert float(altered(str(number), random.Random(seed)).replace(",", "")) != number


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("48/2", 24),
        ("2*(3+4)", 14),
        ("1,000-1", 999),
        ("3x4", 12),
        ("2-5", None),
        ("1/0", None),
        ("a+1", None),
        ("2**9**9", None),
    ],
)
def test_expressions(expression: str, value: float | None) -> None:
    assert value_of(expression) == value
