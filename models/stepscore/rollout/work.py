"""Work that waits for rollouts: a generator that yields asks and is sent their rollouts, until it returns.

So a method reads as if it were alone, while many of them, over solutions and problems, share each call of the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from stepscore.rollout.rollouts import Ask, Rollout

T = TypeVar("T")
Rolled = tuple[Rollout, ...]
Work = Generator[Sequence[Ask], Sequence[Rolled], T]
Roll = Callable[[Sequence[Ask]], Sequence[Rolled]]


def together(works: Sequence[Work[T]]) -> Work[list[T]]:
    """Run works side by side: each round asks for what all of them ask. Results in order."""
    results: dict[int, T] = {}
    answers: dict[int, Sequence[Rolled] | None] = dict.fromkeys(range(len(works)))
    while answers:
        asked = _advance(works, answers, results)
        rolled = iter((yield [ask for asks in asked.values() for ask in asks]) if asked else ())
        answers = {place: [next(rolled) for _ in asks] for place, asks in asked.items()}
    return [results[place] for place in range(len(works))]


def finish(work: Work[T], roll: Roll) -> T:
    """Run a work to its end, answering what it asks."""
    answer: Sequence[Rolled] | None = None
    while True:
        try:
            asks = next(work) if answer is None else work.send(answer)
        except StopIteration as done:  # how a generator returns
            result: T = done.value
            return result
        answer = roll(asks)


def _advance(
    works: Sequence[Work[T]], answers: dict[int, Sequence[Rolled] | None], results: dict[int, T]
) -> dict[int, Sequence[Ask]]:
    """Send each work its answer; keep the results of those that are done. Returns what the others ask."""
    asked = {}
    for place, answer in answers.items():
        try:
            asked[place] = next(works[place]) if answer is None else works[place].send(answer)
        except StopIteration as done:  # how a generator returns
            results[place] = done.value
    return asked
