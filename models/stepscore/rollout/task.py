"""Tasks that wait for rollouts: a generator that yields requests and is sent their rollouts, until it returns.

So a method reads as if it were alone, while many of them, over solutions and problems, share each call of the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from stepscore.rollout.sampler import Rollout, RolloutRequest

T = TypeVar("T")
RolloutTask = Generator[Sequence[RolloutRequest], Sequence[tuple[Rollout, ...]], T]
"""Yields requests, is sent a tuple of rollouts for each, and returns a T."""

Sample = Callable[[Sequence[RolloutRequest]], Sequence[tuple[Rollout, ...]]]


def gather(tasks: Sequence[RolloutTask[T]]) -> RolloutTask[list[T]]:
    """Run tasks side by side: each round yields the requests of all of them. Results in order."""
    results: dict[int, T] = {}
    answers: dict[int, Sequence[tuple[Rollout, ...]] | None] = dict.fromkeys(range(len(tasks)))
    while answers:
        requests = _advance(tasks, answers, results)
        rollouts = iter((yield [request for each in requests.values() for request in each]) if requests else ())
        answers = {place: [next(rollouts) for _ in each] for place, each in requests.items()}
    return [results[place] for place in range(len(tasks))]


def run(task: RolloutTask[T], sample: Sample) -> T:
    """Run a task to its end, answering its requests."""
    answer: Sequence[tuple[Rollout, ...]] | None = None
    while True:
        try:
            requests = next(task) if answer is None else task.send(answer)
        except StopIteration as done:  # how a generator returns
            result: T = done.value
            return result
        answer = sample(requests)


def _advance(
    tasks: Sequence[RolloutTask[T]],
    answers: dict[int, Sequence[tuple[Rollout, ...]] | None],
    results: dict[int, T],
) -> dict[int, Sequence[RolloutRequest]]:
    """Send each task its answer; keep the results of those that are done. Returns the requests of the others."""
    requests = {}
    for place, answer in answers.items():
        try:
            requests[place] = next(tasks[place]) if answer is None else tasks[place].send(answer)
        except StopIteration as done:  # how a generator returns
            results[place] = done.value
    return requests
