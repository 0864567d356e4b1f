"""Worked problems that a program writes: reasoning-gym's symbolic GSM problems, whose solutions come in lines.

Source: open-thought/reasoning-gym (Apache-2.0), dataset `gsm_symbolic`. Needs the `dev` extra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import reasoning_gym

from recipes.embedded.corrupt import value_of
from recipes.embedded.gsm8k import Equation, Step, Worked

_REQUEST = re.compile(r"\s*Give the result as your final answer\..*$", re.DOTALL)
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_EQUATION = re.compile(rf"({_NUMBER}(?: *[-+*/×] *{_NUMBER})+) *= *\$?(?=({_NUMBER}))")


def generated(count: int, seed: int) -> Iterator[Worked]:
    """`count` worked problems; the same seed gives the same ones."""
    for entry in reasoning_gym.create_dataset("gsm_symbolic", size=count, seed=seed):
        body, answer = entry["metadata"]["answer_cot"].rsplit("####", 1)
        steps = tuple(parse_line(line.strip()) for line in body.splitlines() if line.strip())
        yield Worked(_REQUEST.sub("", entry["question"]).strip(), steps, answer.strip().replace(",", ""))


def parse_line(line: str) -> Step:
    """A line with the equations in it whose two sides are equal."""
    equations = []
    for found in _EQUATION.finditer(line):
        expression = found[1].replace("×", "*").replace(" ", "")
        value = value_of(expression)
        if value is not None and abs(value - float(found[2].replace(",", ""))) < 1e-6:
            equations.append(Equation(expression, found[2], found.end()))
    return Step(line, tuple(equations))
