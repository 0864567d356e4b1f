"""The input file as tasks, every row of it checked before anything is opened or made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from stepscore.errors import InvalidInput
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.label.methods.registry import CHECK
from stepscore_service.jobs.label.plan import LabelPlan
from stepscore_service.jobs.label.task import Task, task_of
from stepscore_service.jobs.runs.source import Source


@dataclass(frozen=True, slots=True)
class LabelInputs:
    """limit: how many rows are taken; 0 takes all."""

    source: Source
    plan: LabelPlan
    limit: int = 0

    def tasks(self) -> Iterator[Task]:
        """Raises InvalidInput, which names line and column, at the first row that cannot be used."""
        for line in islice(self.source.lines(), self.limit or None):
            options = self.plan.method
            try:
                yield task_of(line.row(), line.number, how=options.split, join=options.separator)
            except InvalidInput as error:
                raise _at(line.number, error) from error

    def check(self, verifier: Verifier) -> int:
        """How many tasks there are, after a look at each. Raises InvalidInput, for a file without rows as well."""
        count = 0
        for count, task in enumerate(self.tasks(), start=1):  # noqa: B007 - counted
            try:
                check_task(task, self.plan, verifier)
            except InvalidInput as error:
                raise _at(task.line, error) from error
        if not count:
            raise InvalidInput("the input holds no rows")
        return count


def check_task(task: Task, plan: LabelPlan, verifier: Verifier) -> None:
    """Raises InvalidInput where the method needs what the row does not have."""
    if not plan.method.name.startswith(CHECK):
        verifier.verify([], task.truth)
    if not task.attempts and not plan.method.samples and plan.method.name != "omega":
        raise InvalidInput('it has no "solutions"; give --samples N to have the policy write some', field="solutions")


def _at(line: int, error: InvalidInput) -> InvalidInput:
    """The same error with its line; `detail` names the column where the error did."""
    if error.message.startswith("line "):
        return error
    return type(error)(f"line {line}: {error.message}", **{**error.detail, "line": line})
