"""What a labelling method is, and what several of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from stepscore.errors import NoSteps
from stepscore.rollout.sampler import Ending, RolloutCounts, RolloutRequest
from stepscore.rollout.task import RolloutTask
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.task import Attempt, Task, attempt_of_text

LabelKind = Literal["hard", "soft"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may say about a method; each reads what it needs.

    k: rollouts of a prefix. samples: solutions sampled where a row brings none. kind: which estimate becomes the label.
    stop_at_zero: no rollouts after the first step without a right one. judged_only: the share of right rollouts is of
    those that could be judged. split, join: text to steps and back.
    searches, budget: how often OmegaPRM selects a rollout, and after how many rollouts it stops.
    """

    k: int = 8
    samples: int = 0
    kind: LabelKind = "hard"
    stop_at_zero: bool = False
    judged_only: bool = False
    split: str = "auto"
    join: str = "\n"
    searches: int = 100
    budget: int = 1000

    def value(self, counts: RolloutCounts) -> float | None:
        """The estimate for a prefix with these rollouts; None if it cannot be told."""
        return counts.value(judged_only=self.judged_only)


@dataclass(frozen=True, slots=True)
class Labels:
    """What a method found for one task: labelled rows in order, and OmegaPRM's tree where there is one."""

    rows: tuple[Labelled, ...]
    tree: Mapping[str, Any] | None = None


class Method(Protocol):
    """Labels the solutions of a task. Holds no state between tasks, so that they may run in any order, anywhere."""

    @property
    def name(self) -> str: ...

    def label(self, task: Task) -> RolloutTask[Labels]: ...


def sample(task: Task, options: Options) -> RolloutTask[tuple[Attempt, ...]]:
    """The task's own solutions; where it brought none, sampled ones. Blank ones are left out."""
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
    """The value of a whole solution; None where nothing can be said."""
    return {"right": 1.0, "wrong": 0.0}.get(ending)


def outcome_of(ending: Ending) -> bool | None:
    return {"right": True, "wrong": False}.get(ending)


def hard(value: float | None) -> float | None:
    """1 where any rollout succeeded, 0 where none did (Math-Shepherd's hard estimation)."""
    return None if value is None else float(value > 0.0)


def described(task: Task, attempt: int, method: str) -> dict[str, Any]:
    """The columns that say where a row comes from. attempt: which of the task's solutions, from 0."""
    return {"id": task.id, "line": task.line, "attempt": attempt, "sampled": not task.attempts, "method": method}


def columns(counts: Sequence[RolloutCounts | None]) -> list[dict[str, int] | None]:
    """RolloutCounts as a row's column; None for a step that had no rollouts."""
    return [None if each is None else asdict(each) | {"rollouts": each.rollouts} for each in counts]
