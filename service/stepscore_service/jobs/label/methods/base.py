"""What a labelling method is, and what several of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from stepscore.errors import NoSteps
from stepscore.rollout.sampler import Ending, RolloutCounts, RolloutRequest
from stepscore.rollout.task import RolloutTask
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.options import MethodOptions
from stepscore_service.jobs.label.task import Attempt, Task, attempt_of_text


@dataclass(frozen=True, slots=True)
class TaskLabels:
    """What a method found for one task: labelled rows in order, and OmegaPRM's tree if there is one."""

    rows: tuple[Labelled, ...]
    tree: Mapping[str, Any] | None = None


class LabelMethod(Protocol):
    """Labels the solutions of a task. Holds no state between tasks, so that they may run in any order, anywhere."""

    @property
    def name(self) -> str: ...

    def label(self, task: Task) -> RolloutTask[TaskLabels]: ...


def value_of(options: MethodOptions, counts: RolloutCounts) -> float | None:
    """The estimate for a prefix with these rollouts; None if there is none."""
    return counts.value(judged_only=options.judged_only)


def sample(task: Task, options: MethodOptions) -> RolloutTask[tuple[Attempt, ...]]:
    """The task's own solutions; sampled ones if it has none. Blank ones are left out."""
    if task.attempts or not options.samples:
        return task.attempts
    (rollouts,) = yield [RolloutRequest(task.problem, task.truth, "", options.samples, "solution")]
    attempts = []
    for rollout in rollouts:
        try:
            attempts.append(attempt_of_text(rollout.text, options.split, complete=rollout.ending != "truncated"))
        except NoSteps:  # a policy that says nothing has no step to label; the rollout is counted all the same
            continue
    return tuple(attempts)


def own_ending(task: Task, attempt: Attempt, verifier: Verifier) -> Ending:
    """How the solution itself ends."""
    return verifier.verify([attempt.text], task.truth)[0].outcome if attempt.complete else "truncated"


def of_ending(ending: Ending) -> float | None:
    """The value of a whole solution; None if it is unknown."""
    return {"right": 1.0, "wrong": 0.0}.get(ending)


def outcome_of(ending: Ending) -> bool | None:
    return {"right": True, "wrong": False}.get(ending)


def hard(value: float | None) -> float | None:
    """1 if any rollout succeeded, 0 if none did (Math-Shepherd's hard estimation)."""
    return None if value is None else float(value > 0.0)


def source_columns(task: Task, attempt: int, method: str) -> dict[str, Any]:
    """The columns that say where a row comes from. attempt: which of the task's solutions, from 0."""
    return {"id": task.id, "line": task.line, "attempt": attempt, "sampled": not task.attempts, "method": method}


def columns(counts: Sequence[RolloutCounts | None]) -> list[dict[str, int] | None]:
    """RolloutCounts as a row's column; None for a step that had no rollouts."""
    return [None if each is None else asdict(each) | {"rollouts": each.rollouts} for each in counts]
