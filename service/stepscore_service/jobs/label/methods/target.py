"""What the methods share that label each solution of a task by rollouts from its prefixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from stepscore.rollout.sampler import Ending, RolloutRequest
from stepscore.rollout.task import RolloutTask, gather
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.methods.base import TaskLabels, outcome_of, own_ending, sample, source_columns
from stepscore_service.jobs.label.options import MethodOptions
from stepscore_service.jobs.label.task import Attempt, Task


@dataclass(frozen=True, slots=True)
class LabelTarget:
    """One solution of a task. place: which of them, from 0. ending: how the solution itself ends."""

    task: Task
    place: int
    attempt: Attempt
    ending: Ending

    @property
    def steps(self) -> int:
        return len(self.attempt.steps)

    def request(self, steps: int, k: int) -> RolloutRequest:
        """For k rollouts that continue after the first `steps` steps."""
        return RolloutRequest(self.task.problem, self.task.truth, self.attempt.prefix(steps), k)

    def label_with(self, method: str, labels: Iterable[float | None], **found: Any) -> Labelled:
        """found: columns of the row, besides those that say where it comes from."""
        extras = {**source_columns(self.task, self.place, method), **found, "ending": self.ending}
        return Labelled(self.task.solution(self.attempt), tuple(labels), outcome_of(self.ending), extras)


def each_target(
    task: Task, options: MethodOptions, verifier: Verifier, label: Callable[[LabelTarget], RolloutTask[Labelled]]
) -> RolloutTask[TaskLabels]:
    """Every solution of the task labelled, all at once, so that their rollouts share rounds."""
    attempts = yield from sample(task, options)
    targets = [LabelTarget(task, place, each, own_ending(task, each, verifier)) for place, each in enumerate(attempts)]
    return TaskLabels(tuple((yield from gather([label(target) for target in targets]))))
