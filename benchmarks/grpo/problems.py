"""Arithmetic word problems of two or three operations, each with its answer and a worked solution in steps."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

NAMES = ("Tom", "Ana", "Omar", "Lily", "Ken", "Mia", "Raj", "Eva", "Sam", "Zoe", "Ben", "Ida")
THINGS = ("apples", "books", "coins", "stamps", "pencils", "shells", "cards", "marbles", "stickers", "beads")
PROBLEMS = 1000
WARM_UP_SEED, HELD_OUT_SEED, TRAIN_SEED, FRESH_SEED = 1, 2, 3, 4
ANSWER = re.compile(r"The answer is (-?\d+)\.")


@dataclass(frozen=True, slots=True)
class Problem:
    """text: what is asked. steps: a worked solution, whose last step gives the answer."""

    text: str
    steps: tuple[str, ...]
    answer: int

    @property
    def solution(self) -> str:
        return "\n\n".join(self.steps)

    @property
    def prompt(self) -> list[dict[str, str]]:
        """As a conversation."""
        return [{"role": "user", "content": self.text}]


def answer_in(completion: str) -> int | None:
    """The number after the first "The answer is"; None if the completion gives none."""
    found = ANSWER.search(completion)
    return int(found[1]) if found else None


def write_problems(count: int, seed: int, *, unlike: frozenset[str] = frozenset()) -> list[Problem]:
    """Distinct problems, none of whose texts is in `unlike`. The same seed gives the same problems."""
    source, seen = random.Random(seed), set(unlike)
    problems: list[Problem] = []
    while len(problems) < count:
        problem = _write_problem(source)
        if problem.text not in seen:
            seen.add(problem.text)
            problems.append(problem)
    return problems


def warm_up_problems() -> list[Problem]:
    return write_problems(PROBLEMS, WARM_UP_SEED)


def held_out_problems(count: int) -> list[Problem]:
    """None of them is seen in the warm-up or in training."""
    return write_problems(count, HELD_OUT_SEED, unlike=_texts(warm_up_problems()))


def training_problems(held_out: int) -> list[Problem]:
    """Neither of the warm-up nor held out."""
    unlike = _texts(warm_up_problems()) | _texts(held_out_problems(held_out))
    return write_problems(PROBLEMS, TRAIN_SEED, unlike=unlike)


def fresh_problems(count: int) -> list[Problem]:
    """Seen by no run, neither in the warm-up nor in training nor as held out at up to 100 problems."""
    seen = (*warm_up_problems(), *training_problems(100), *held_out_problems(100))
    return write_problems(count, FRESH_SEED, unlike=_texts(list(seen)))


def _texts(problems: list[Problem]) -> frozenset[str]:
    return frozenset(problem.text for problem in problems)


def _write_problem(source: random.Random) -> Problem:
    name, thing = source.choice(NAMES), source.choice(THINGS)
    boxes, each = source.randint(2, 5), source.randint(2, 10)
    value = boxes * each
    sentences = [f"{name} has {boxes} boxes with {each} {thing} in each."]
    steps = [f"{boxes}*{each}={value}"]
    for _ in range(source.randint(1, 2)):
        sentence, step, value = _change(source, value)
        sentences.append(sentence)
        steps.append(step)
    sentences.append(f"How many {thing} does {name} have now?")
    return Problem(" ".join(sentences), (*steps, f"The answer is {value}."), value)


def _change(source: random.Random, value: int) -> tuple[str, str, int]:
    """A sentence, its step, and the new number of things. Nobody takes more than there is."""
    other, less = source.choice(NAMES), source.randint(2, max(2, min(value - 1, 20)))
    more = source.randint(2, 20)
    kinds = {
        "gain": (f"{other} brings {more} more.", f"{value}+{more}={value + more}", value + more),
        "loss": (f"{other} takes {less} away.", f"{value}-{less}={value - less}", value - less),
        "double": ("The number doubles.", f"{value}*2={value * 2}", value * 2),
    }
    kind = source.choice(tuple(kinds))
    return kinds["gain" if less > value else kind]
