"""Monte Carlo labels: k rollouts from every prefix (Math-Shepherd, arXiv:2312.08935).

soft: the share of right rollouts; hard: whether any is right. The last step is labelled by the solution's own answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepscore.rollout.rollouts import Counts, counted
from stepscore.rollout.work import Work
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.methods.base import Labels, Options, columns, hard, of_ending
from stepscore_service.jobs.label.methods.subject import Subject, each_subject
from stepscore_service.jobs.label.task import Task


@dataclass(frozen=True, slots=True)
class MonteCarlo:
    """Every step by rollouts; with `stop_at_zero` one step at a time, up to the first that none completes."""

    options: Options
    verifier: Verifier
    name = "monte-carlo"

    def label(self, task: Task) -> Work[Labels]:
        return (yield from each_subject(task, self.options, self.verifier, self._one))

    def _one(self, subject: Subject) -> Work[Labelled]:
        count = self._counts_to_zero if self.options.stop_at_zero else self._all_counts
        return self._row(subject, (yield from count(subject)))

    def _all_counts(self, subject: Subject) -> Work[list[Counts]]:
        rolled = yield [subject.ask(steps, self.options.k) for steps in range(1, subject.steps)]
        return [counted(rollouts) for rollouts in rolled]

    def _counts_to_zero(self, subject: Subject) -> Work[list[Counts]]:
        counts = []
        for steps in range(1, subject.steps):
            (rollouts,) = yield [subject.ask(steps, self.options.k)]
            counts.append(counted(rollouts))
            if counts[-1].value == 0.0:
                break
        return counts

    def _row(self, subject: Subject, counts: list[Counts]) -> Labelled:
        missing = subject.steps - 1 - len(counts)
        soft = [*(each.value for each in counts), *[None] * missing, None if missing else of_ending(subject.ending)]
        hards = [hard(value) for value in soft]
        labels = hards if self.options.kind == "hard" else soft
        found = columns([*counts, *[None] * (missing + 1)])
        return subject.labelled(self.name, labels, soft=soft, hard=hards, counts=found)
