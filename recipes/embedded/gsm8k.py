"""GSM8K's worked solutions as steps, written in the styles that other models use.

Source: openai/grade-school-math (MIT). `<<48/2=24>>` marks the calculator's work and is taken out of the text; what
it says of the step's equation is kept, since it tells where the result stands.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from stepscore.types import Solution

_NOTE = re.compile(r"<<([^=<>]+)=([^<>]+)>>")

ENDINGS = (
    "",
    "The answer is {}.",
    "A: {}",
    "So the answer is \\boxed{{{}}}.",
    "#### {}",
    "Therefore, the final answer is \\(\\boxed{{{}}}\\).",
)


@dataclass(frozen=True, slots=True)
class Equation:
    """expression = result, as the calculator's note has it; place: where the result begins in the step's text."""

    expression: str
    result: str
    place: int


@dataclass(frozen=True, slots=True)
class Step:
    """A step's text without notes, and the equations in it, in order. prefix: how the text begins, as `Step 2: `."""

    text: str
    equations: tuple[Equation, ...] = ()
    prefix: str = ""

    def prefixed(self, prefix: str) -> Step:
        return Step(prefix + self.text, self._moved(len(prefix)), prefix)

    def unprefixed(self) -> Step:
        return Step(self.text.removeprefix(self.prefix), self._moved(-len(self.prefix)))

    def _moved(self, by: int) -> tuple[Equation, ...]:
        return tuple(replace(each, place=each.place + by) for each in self.equations)


@dataclass(frozen=True, slots=True)
class Worked:
    """A problem with its worked solution and its final answer."""

    problem: str
    steps: tuple[Step, ...]
    answer: str

    @property
    def solution(self) -> Solution:
        return Solution(self.problem, tuple(step.text for step in self.steps))


def read_worked(path: Path) -> Iterator[Worked]:
    """Every problem of a GSM8K file (JSON lines with `question` and `answer`)."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        body, answer = row["answer"].rsplit("####", 1)
        steps = tuple(parse_step(text) for text in body.splitlines() if text.strip())
        yield Worked(row["question"].strip(), steps, answer.strip().replace(",", ""))


def parse_step(line: str) -> Step:
    """Take the notes out of a line and keep what they say."""
    text, equations, position = "", [], 0
    for note in _NOTE.finditer(line):
        text += line[position : note.start()]
        equations.append(Equation(note[1], note[2], len(text)))
        position = note.end()
    return Step((text + line[position:]).rstrip(), tuple(equations))


def strip_notes(text: str) -> str:
    return _NOTE.sub("", text)


def styled(worked: Worked, rng: random.Random) -> Worked:
    """The same solution with or without `Step k:` prefixes and with one of the usual last lines."""
    steps = list(worked.steps)
    if rng.random() < 0.3:
        steps = [step.prefixed(f"Step {number}: ") for number, step in enumerate(steps, 1)]
    if ending := rng.choice(ENDINGS):
        steps.append(Step(ending.format(worked.answer)))
    return replace(worked, steps=tuple(steps))
