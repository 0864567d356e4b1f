"""Generated problems: equations that hold, parts that do not meet, corruptions that do not hold."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("reasoning_gym", reason="needs the dev extra")

from recipes.embedded.corrupt import corruptions, value_of
from recipes.embedded.generated import generated, parse_line
from recipes.embedded.rows import Part, more_of


def test_lines_are_read_with_their_equations() -> None:
    step = parse_line("• He has 3 times as many, so 35 × 3 = 105 kiwi, and 48=48, and 2 + 2 = 5.")
    assert [(each.expression, each.result) for each in step.equations] == [("35*3", "105")]
    assert step.text[step.equations[0].place :].startswith("105 kiwi")


def test_every_equation_holds_and_can_be_spoilt() -> None:
    kinds = set()
    for worked in generated(30, seed=5):
        for step in worked.steps:
            for equation in step.equations:
                value = value_of(equation.expression)
                assert value == pytest.approx(float(equation.result.replace(",", "")))
        kinds |= {wrong.kind for wrong in corruptions(worked, random.Random(0))}
        assert "Give the result" not in worked.problem
    assert {"result", "operand", "operation", "answer"} <= kinds


def test_parts_are_the_same_each_time_and_do_not_meet() -> None:
    parts = [more_of(part, 20) for part in Part]
    assert parts[0] == more_of(Part.TRAIN, 20)
    problems = [{worked.problem for worked in part} for part in parts]
    assert not problems[0] & problems[2]
