"""The first error of n steps by binary search: at most ceil(log2 n) rounds (OmegaPRM, arXiv:2406.06592, 3.2).

Rests on one assumption: a prefix that can still be completed has only such prefixes before it. So a solution whose
own answer is right needs no rollout, and its steps are all labelled 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stepscore.rollout.sampler import Ending, RolloutCounts
from stepscore.rollout.task import RolloutTask
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.methods.base import TaskLabels, columns, value_of
from stepscore_service.jobs.label.methods.target import LabelTarget, each_target
from stepscore_service.jobs.label.options import MethodOptions
from stepscore_service.jobs.label.task import Task


@dataclass(slots=True)
class ErrorSearch:
    """What is known of a solution of n steps. good: steps of the longest prefix that was completed.

    bad: steps of the shortest prefix that was not, n + 1 if none is known. [low, high]: where to look next.
    """

    good: int
    bad: int
    low: int
    high: int
    rounds: int = 0
    counts: dict[int, RolloutCounts] = field(default_factory=dict)

    def learn(self, steps: int, counts: RolloutCounts, value: float | None) -> None:
        """Narrow the search by a prefix's value; one of None moves it on, but says nothing of the prefix's steps."""
        self.rounds += 1
        self.counts[steps] = counts
        if value == 0.0:
            self.bad, self.high = steps, steps - 1
            return
        self.low = steps + 1
        if value:
            self.good = steps

    def label(self, step: int) -> float | None:
        """Step from 0. Steps before a good prefix's end are 1, the one that ends the first bad prefix 0."""
        if step < self.good:
            return 1.0
        return 0.0 if step == self.bad - 1 else None


@dataclass(frozen=True, slots=True)
class BinarySearch:
    """TaskLabels up to the first error; the steps after it have none."""

    options: MethodOptions
    verifier: Verifier
    name = "binary-search"

    def label(self, task: Task) -> RolloutTask[TaskLabels]:
        return (yield from each_target(task, self.options, self.verifier, self._one))

    def _one(self, target: LabelTarget) -> RolloutTask[Labelled]:
        search = begin(target.steps, target.ending)
        while search.low <= search.high:
            steps = (search.low + search.high) // 2
            (rollouts,) = yield [target.request(steps, self.options.k)]
            counts = RolloutCounts.of(rollouts)
            search.learn(steps, counts, value_of(self.options, counts))
        return self._row(target, search)

    def _row(self, target: LabelTarget, search: ErrorSearch) -> Labelled:
        steps = range(target.steps)
        counts = [search.counts.get(step + 1) for step in steps]
        soft = [None if each is None else value_of(self.options, each) for each in counts]
        labels = map(search.label, steps)
        return target.label_with(self.name, labels, soft=soft, counts=columns(counts), rounds=search.rounds)


def begin(steps: int, ending: Ending) -> ErrorSearch:
    """What follows from the solution's own ending: all steps good, the last prefix bad, or nothing."""
    if ending == "right":
        return ErrorSearch(good=steps, bad=steps + 1, low=1, high=0)
    bad = steps if ending == "wrong" else steps + 1
    return ErrorSearch(good=0, bad=bad, low=1, high=steps - 1)
