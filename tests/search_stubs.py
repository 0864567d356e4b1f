"""A policy and a PRM that depend on their text alone, so that two implementations of a search can be compared."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from search_case import DicePolicy, FormulaPrm
from stepscore.generate.protocol import Completion, Request
from stepscore.types import Reading

SEPARATOR = "\n\n"


def number(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return random.Random(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()).random()


def next_step(problem: str, prefix: str, sample: int, *, greedy: bool) -> tuple[str, bool]:
    """One step after a prefix, and whether the solution ends with it: after 2 to 5 steps."""
    done = prefix.count(SEPARATOR)
    name = int(1e9 * number("step", problem, prefix, "greedy" if greedy else sample))
    ends = done >= 4 or (done >= 1 and number("end", problem, prefix, name) < 0.3)
    return (f"s{name} \\boxed{{{name % 7}}}", True) if ends else (f"s{name}{SEPARATOR}", False)


def to_the_end(problem: str, prefix: str, sample: int) -> str:
    text, ended = next_step(problem, prefix, sample, greedy=False)
    while not ended:
        more, ended = next_step(problem, prefix + text, sample, greedy=False)
        text += more
    return text


def rewards_of(problem: str, text: str) -> list[float]:
    steps = [step for piece in text.split(SEPARATOR) if (step := piece.strip())]
    return [number("reward", problem, *steps[: place + 1]) for place in range(len(steps))]


class TextPolicy(DicePolicy):
    def __init__(self) -> None:
        super().__init__(0.5, 4)

    def _complete(self, request: Request, sample: int) -> Completion:
        problem, _, prefix = str(request.prompt).partition("|")
        if not request.sampling.stop:
            return Completion(to_the_end(problem, prefix, sample), "stop")
        return Completion(next_step(problem, prefix, sample, greedy=not request.sampling.temperature)[0], "stop")


class TextPrm(FormulaPrm):
    def __init__(self) -> None:
        super().__init__(lambda steps: 0.0)

    def score(self, solutions):
        self.solutions += len(solutions)
        return [self._read(solution.problem, solution.steps) for solution in solutions]

    def _read(self, problem: str, steps: Sequence[str]):
        return Reading(tuple(rewards_of(problem, SEPARATOR.join(steps))), ())
