"""The input file as tasks, every row of it checked before anything is opened or made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from stepscore.errors import InvalidInput
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.label.methods.registry import CHECK
from stepscore_service.jobs.label.plan import LabelPlan
from stepscore_service.jobs.label.task import Task, task_of
from stepscore_service.jobs.runs.source import Line, Source


@dataclass(frozen=True, slots=True)
class LabelInputs:
    """limit: how many rows are taken; 0 takes all. skip_bad: so many unusable rows are passed over.

    bad: what is wrong with them by line, filled by `check`.
    """

    source: Source
    plan: LabelPlan
    limit: int = 0
    skip_bad: int = 0
    bad: dict[int, str] = field(default_factory=dict)

    def tasks(self) -> Iterator[Task]:
        """The rows that `check` found usable."""
        return (self._task(line) for line in self._lines() if line.number not in self.bad)

    def check(self, verifier: Verifier) -> int:
        """How many tasks there are, after a look at each.

        Raises InvalidInput, which names line and column, at the first bad row that is one too many, and for a file
        without usable rows.
        """
        self.bad.clear()
        count = 0
        for line in self._lines():
            try:
                check_task(self._task(line), self.plan, verifier)
            except InvalidInput as error:
                self._pass_over(line.number, error)
            else:
                count += 1
        if not count:
            raise InvalidInput("the input holds no usable rows" if self.bad else "the input holds no rows")
        return count

    def _lines(self) -> Iterator[Line]:
        return islice(self.source.lines(), self.limit or None)

    def _task(self, line: Line) -> Task:
        return task_of(line.row(), line.number, how=self.plan.method.split, join=self.plan.method.separator)

    def _pass_over(self, line: int, error: InvalidInput) -> None:
        named = _at(line, error)
        if len(self.bad) >= self.skip_bad:
            raise named
        self.bad[line] = named.message


def check_task(task: Task, plan: LabelPlan, verifier: Verifier) -> None:
    """Raises InvalidInput if the method needs what the row does not have."""
    if not plan.method.name.startswith(CHECK):
        verifier.verify([], task.truth)
    if not task.attempts and not plan.method.samples and plan.method.name != "omega":
        raise InvalidInput('it has no "solutions"; give --samples N to have the policy write some', field="solutions")


def _at(line: int, error: InvalidInput) -> InvalidInput:
    """The same error with its line; `detail` names the column if the error did."""
    if error.message.startswith("line "):
        return error
    return type(error)(f"line {line}: {error.message}", **{**error.detail, "line": line})
