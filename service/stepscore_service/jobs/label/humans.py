"""The way of labels to people and back: rows of any kind that the jobs write, one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled, is_labelled, of_row, to_row
from stepscore_service.jobs.label.active import Asked
from stepscore_service.jobs.label.prm800k import Neutral, of_prm800k, to_prm800k
from stepscore_service.jobs.runs.source import JsonRow

ASK = "ask"


@dataclass
class Counts:
    """What went through: rows read, solutions written, and labels by kind (right, wrong, soft, none).

    soft_steps, soft_rows: labels that an export left out, and the rows that they stood in.
    """

    rows: int = 0
    solutions: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    soft_steps: int = 0
    soft_rows: int = 0

    def add(self, labelled: Labelled) -> None:
        self.solutions += 1
        self.labels.update(map(_kind, labelled.labels))

    def leave_out(self, soft: int) -> None:
        self.soft_steps += soft
        self.soft_rows += bool(soft)

    def __str__(self) -> str:
        labels = ", ".join(f"{self.labels[kind]} {kind}" for kind in ("right", "wrong", "soft", "none"))
        return f"{self.rows} rows read, {self.solutions} solutions written; labels: {labels}"


def with_ask(solution: Solution, row: JsonRow, asked: Iterable[Asked]) -> dict[str, Any]:
    """A selected row in TRL's columns: labels that it had, the steps to label, and every other column."""
    if is_labelled(row):
        labelled = of_row(row)
    else:
        texts = ("problem", "prompt", "steps", "completions", "solution", "split", "labels")
        others = {name: value for name, value in row.items() if name not in texts}
        labelled = Labelled(solution, (None,) * len(solution.steps), extras=others)
    steps = [{"step": each.step, "reward": each.reward, "uncertainty": each.uncertainty} for each in asked]
    return {**to_row(labelled), ASK: steps}


def export_rows(rows: Iterable[JsonRow], counts: Counts) -> Iterator[dict[str, Any]]:
    """Rows for people. A row of `select` asks for its steps; any other for those without a label.

    A soft label has no place among the ratings: it is left out and counted, unless people are asked for its step.
    Raises InvalidInput for a row that is not a labelled solution or asks for steps that it does not have.
    """
    for row in rows:
        counts.rows += 1
        labelled = of_row({name: value for name, value in row.items() if name != ASK})
        counts.add(labelled)
        asked = _steps_asked(row, len(labelled.labels)) if ASK in row else None
        soft = {step for step, label in enumerate(labelled.labels) if _kind(label) == "soft"}
        counts.leave_out(len(soft.difference(asked or ())))
        yield to_prm800k(labelled, asked)


def import_rows(rows: Iterable[JsonRow], neutral: Neutral, counts: Counts) -> Iterator[dict[str, Any]]:
    """TRL's rows from rows of PRM800K. Raises InvalidInput."""
    for row in rows:
        counts.rows += 1
        for labelled in of_prm800k(row, neutral):
            counts.add(labelled)
            yield to_row(labelled)


def _steps_asked(row: JsonRow, steps: int) -> list[int]:
    try:
        asked = [int(each["step"]) for each in row[ASK]]
    except (TypeError, KeyError, ValueError) as error:
        raise InvalidInput('"ask" is not a list of objects with a "step"', field=ASK) from error
    if not all(0 <= step < steps for step in asked):
        raise InvalidInput(f'"ask" names steps {asked} of a solution with {steps}', field=ASK)
    return asked


def _kind(label: float | None) -> str:
    return "none" if label is None else {1.0: "right", 0.0: "wrong"}.get(label, "soft")
