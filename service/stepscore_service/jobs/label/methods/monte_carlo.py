"""Monte Carlo labels: k rollouts from every prefix (Math-Shepherd, arXiv:2312.08935).

soft: the share of right rollouts; hard: whether any is right. The last step is labelled by the solution's own answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepscore.rollout.sampler import RolloutCounts
from stepscore.rollout.task import RolloutTask
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.methods.base import TaskLabels, columns, hard, of_ending, value_of
from stepscore_service.jobs.label.methods.target import LabelTarget, each_target
from stepscore_service.jobs.label.options import MethodOptions
from stepscore_service.jobs.label.task import Task


@dataclass(frozen=True, slots=True)
class MonteCarlo:
    """Every step by rollouts; with `stop_at_zero` one step at a time, up to the first that none completes."""

    options: MethodOptions
    verifier: Verifier
    name = "monte-carlo"

    def label(self, task: Task) -> RolloutTask[TaskLabels]:
        return (yield from each_target(task, self.options, self.verifier, self._one))

    def _one(self, target: LabelTarget) -> RolloutTask[Labelled]:
        count = self._counts_to_zero if self.options.stop_at_zero else self._all_counts
        return self._row(target, (yield from count(target)))

    def _all_counts(self, target: LabelTarget) -> RolloutTask[list[RolloutCounts]]:
        rolled = yield [target.request(steps, self.options.k) for steps in range(1, target.steps)]
        return [RolloutCounts.of(rollouts) for rollouts in rolled]

    def _counts_to_zero(self, target: LabelTarget) -> RolloutTask[list[RolloutCounts]]:
        counts = []
        for steps in range(1, target.steps):
            (rollouts,) = yield [target.request(steps, self.options.k)]
            counts.append(RolloutCounts.of(rollouts))
            if value_of(self.options, counts[-1]) == 0.0:
                break
        return counts

    def _row(self, target: LabelTarget, counts: list[RolloutCounts]) -> Labelled:
        missing = target.steps - 1 - len(counts)
        values = [value_of(self.options, each) for each in counts]
        soft = [*values, *[None] * missing, None if missing else of_ending(target.ending)]
        hards = [hard(value) for value in soft]
        labels = hards if self.options.labels == "hard" else soft
        found = columns([*counts, *[None] * (missing + 1)])
        return target.label_with(self.name, labels, soft=soft, hard=hards, counts=found)
