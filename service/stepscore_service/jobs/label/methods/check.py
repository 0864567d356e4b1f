"""TaskLabels by a step checker: calculation or proof, and no rollouts.

Sound steps are 1 and the first wrong one is 0; a step that carries nothing to check has no label, nor has any step
after the first wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stepscore.rollout.task import RolloutTask
from stepscore.verify.checker import Checked, StepChecker
from stepscore.verify.verifier import Truth, Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.methods.base import TaskLabels, outcome_of, own_ending, sample, source_columns
from stepscore_service.jobs.label.options import MethodOptions
from stepscore_service.jobs.label.task import Attempt, Task

_VALUES = {"sound": 1.0, "wrong": 0.0, "unknown": None}


@dataclass(frozen=True, slots=True)
class Check:
    """A step checker as a method. The outcome is added if the task's truth is known."""

    options: MethodOptions
    verifier: Verifier
    checker: StepChecker

    @property
    def name(self) -> str:
        return f"check-{self.checker.name}"

    def label(self, task: Task) -> RolloutTask[TaskLabels]:
        attempts = yield from sample(task, self.options)
        return TaskLabels(tuple(self._one(task, place, attempt) for place, attempt in enumerate(attempts)))

    def _one(self, task: Task, place: int, attempt: Attempt) -> Labelled:
        checked = self.checker.check(task.problem, attempt.steps)
        known = task.truth != Truth()
        ending = own_ending(task, attempt, self.verifier) if known else "unreadable"
        extras: dict[str, Any] = {
            **source_columns(task, place, self.name),
            "verdicts": [each.verdict for each in checked],
            "reasons": [each.reason for each in checked],
        }
        return Labelled(task.solution(attempt), labels_of(checked), outcome_of(ending), extras)


def labels_of(checked: list[Checked]) -> tuple[float | None, ...]:
    wrong = next((place for place, each in enumerate(checked) if each.verdict == "wrong"), len(checked))
    return tuple(_VALUES[each.verdict] if place <= wrong else None for place, each in enumerate(checked))
