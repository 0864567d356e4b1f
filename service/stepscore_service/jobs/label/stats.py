"""What is counted while labelling: rollouts by how they ended and why they stopped, rounds, rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stepscore.rollout.sampler import Rollout, RolloutRequest
from stepscore.rollout.task import RolloutTask, T

Totals = Mapping[str, int]


class RolloutStats:
    """The rollouts of one task. rows: the rollouts themselves as JSON, if they are to be kept."""

    def __init__(self, task: str, *, keep: bool) -> None:
        self._task = task
        self._keep = keep
        self.rows: list[dict[str, Any]] = []
        self.totals: Counter[str] = Counter()

    def add(self, requests: Sequence[RolloutRequest], answers: Sequence[tuple[Rollout, ...]]) -> None:
        self.totals["rounds"] += bool(requests)
        for request, rollouts in zip(requests, answers, strict=True):
            self.totals["prefixes"] += 1
            for rollout in rollouts:
                self.totals[rollout.ending] += 1
                if rollout.ending == "unstarted":
                    continue
                self.totals.update({"rollouts": 1, f"stop_{rollout.stop_reason}": 1})
                self.totals["tokens"] += rollout.tokens
            if self._keep:
                self.rows += [self._row(request, place, rollout) for place, rollout in enumerate(rollouts)]

    def _row(self, request: RolloutRequest, place: int, rollout: Rollout) -> dict[str, Any]:
        return {
            "id": self._task,
            "purpose": request.purpose,
            "prefix": request.prefix,
            "rollout": place,
            "text": rollout.text,
            "ending": rollout.ending,
            "stop_reason": rollout.stop_reason,
            "found": rollout.found,
            "tokens": rollout.tokens,
        }


def record(task: RolloutTask[T], stats: RolloutStats) -> RolloutTask[T]:
    """The same task; its requests and their rollouts are counted on the way."""
    answer: Sequence[tuple[Rollout, ...]] | None = None
    while True:
        try:
            requests = next(task) if answer is None else task.send(answer)
        except StopIteration as done:  # how a generator returns
            result: T = done.value
            return result
        answer = yield requests
        stats.add(requests, answer)


def sum_totals(totals: Sequence[Totals]) -> dict[str, int]:
    """The sum, by name in alphabetical order."""
    summed: Counter[str] = Counter()
    for each in totals:
        summed.update(each)
    return dict(sorted(summed.items()))
