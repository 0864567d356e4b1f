"""The first error by binary search: about log2(n) rounds of rollouts for n steps (OmegaPRM, arXiv:2406.06592, 3.2).

Rests on one assumption: a prefix that can still be completed has only such prefixes before it. So a solution whose
own answer is right needs no rollout, and its steps are all labelled 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stepscore.rollout.rollouts import Counts, Ending, counted
from stepscore.rollout.work import Work
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.methods.base import Labels, Options, columns
from stepscore_service.jobs.label.methods.subject import Subject, each_subject
from stepscore_service.jobs.label.task import Task


@dataclass(slots=True)
class Search:
    """What is known of a solution of n steps. good: steps of the longest prefix that was completed.

    bad: steps of the shortest prefix that was not, n + 1 where none is known. [low, high]: where to look next.
    """

    good: int
    bad: int
    low: int
    high: int
    rounds: int = 0
    counts: dict[int, Counts] = field(default_factory=dict)

    def learn(self, steps: int, counts: Counts) -> None:
        """A prefix whose rollouts could not be judged moves the search on, but says nothing of its steps."""
        self.rounds += 1
        self.counts[steps] = counts
        if counts.value == 0.0:
            self.bad, self.high = steps, steps - 1
            return
        self.low = steps + 1
        if counts.value:
            self.good = steps

    def label(self, step: int) -> float | None:
        """Step from 0. Steps before a good prefix's end are 1, the one that ends the first bad prefix 0."""
        if step < self.good:
            return 1.0
        return 0.0 if step == self.bad - 1 else None


@dataclass(frozen=True, slots=True)
class BinarySearch:
    """Labels up to the first error; the steps behind it have none."""

    options: Options
    verifier: Verifier
    name = "binary-search"

    def label(self, task: Task) -> Work[Labels]:
        return (yield from each_subject(task, self.options, self.verifier, self._one))

    def _one(self, subject: Subject) -> Work[Labelled]:
        search = begin(subject.steps, subject.ending)
        while search.low <= search.high:
            steps = (search.low + search.high) // 2
            (rollouts,) = yield [subject.ask(steps, self.options.k)]
            search.learn(steps, counted(rollouts))
        return self._row(subject, search)

    def _row(self, subject: Subject, search: Search) -> Labelled:
        steps = range(subject.steps)
        counts = [search.counts.get(step + 1) for step in steps]
        soft = [None if each is None else each.value for each in counts]
        labels = map(search.label, steps)
        return subject.labelled(self.name, labels, soft=soft, counts=columns(counts), rounds=search.rounds)


def begin(steps: int, ending: Ending) -> Search:
    """What the solution's own ending tells: all steps good, the last prefix bad, or nothing."""
    if ending == "right":
        return Search(good=steps, bad=steps + 1, low=1, high=0)
    bad = steps if ending == "wrong" else steps + 1
    return Search(good=0, bad=bad, low=1, high=steps - 1)
