"""What is counted while labelling: rollouts by how they ended and why they stopped, rounds, rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stepscore.rollout.rollouts import Ask
from stepscore.rollout.work import Rolled, T, Work

Totals = Mapping[str, int]
ENDINGS = ("right", "wrong", "unreadable", "truncated")


class Log:
    """The rollouts of one task. rows: as JSON, kept only where somebody wants them written."""

    def __init__(self, task: str, *, keep: bool) -> None:
        self._task = task
        self._keep = keep
        self.rows: list[dict[str, Any]] = []
        self.totals: Counter[str] = Counter()

    def add(self, asks: Sequence[Ask], rolled: Sequence[Rolled]) -> None:
        self.totals["rounds"] += bool(asks)
        for ask, rollouts in zip(asks, rolled, strict=True):
            self.totals["prefixes"] += 1
            for rollout in rollouts:
                self.totals.update({"rollouts": 1, rollout.ending: 1, f"stop_{rollout.stop_reason}": 1})
                self.totals["tokens"] += rollout.tokens
            if self._keep:
                self.rows += [self._row(ask, place, rolled) for place, rolled in enumerate(rollouts)]

    def _row(self, ask: Ask, place: int, rollout: Any) -> dict[str, Any]:
        return {
            "id": self._task,
            "purpose": ask.purpose,
            "prefix": ask.prefix,
            "rollout": place,
            "text": rollout.text,
            "ending": rollout.ending,
            "stop_reason": rollout.stop_reason,
            "found": rollout.found,
            "tokens": rollout.tokens,
        }


def watched(work: Work[T], log: Log) -> Work[T]:
    """The same work; what it asks and gets is logged."""
    answer: Sequence[Rolled] | None = None
    while True:
        try:
            asks = next(work) if answer is None else work.send(answer)
        except StopIteration as done:  # how a generator returns
            result: T = done.value
            return result
        answer = yield asks
        log.add(asks, answer)


def added(totals: Sequence[Totals]) -> dict[str, int]:
    """The sum, by name in alphabetical order."""
    summed: Counter[str] = Counter()
    for each in totals:
        summed.update(each)
    return dict(sorted(summed.items()))
