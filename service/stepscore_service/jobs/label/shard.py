"""A shard: the tasks that are labelled together and whose results are written together, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.task import Task
from stepscore_service.jobs.runs.journal import json_line

LABELS, ROLLOUTS, TREES, DROPPED = "labels", "rollouts", "trees", "dropped"


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive tasks of the input. index: its place, from 0."""

    index: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """The files of a shard, as they are written, and what was counted. files: by kind, JSON lines."""

    index: int
    files: Mapping[str, str]
    totals: Mapping[str, int]


def shards(tasks: Iterable[Task], size: int) -> Iterator[Shard]:
    held: list[Task] = []
    index = 0
    for task in tasks:
        held.append(task)
        if len(held) == size:
            yield Shard(index, tuple(held))
            held, index = [], index + 1
    if held:
        yield Shard(index, tuple(held))


def counts_of(rows: Sequence[Labelled], tasks: int, error_below: float = 0.0) -> dict[str, int]:
    """Rows and steps by label."""
    labels = [label for row in rows for label in row.labels]
    return {
        "problems": tasks,
        "rows": len(rows),
        "steps": len(labels),
        "steps_without_label": labels.count(None),
        "rows_with_error": sum(row.first_error(error_below) is not None for row in rows),
        "solutions_right": sum(row.outcome is True for row in rows),
        "solutions_wrong": sum(row.outcome is False for row in rows),
    }


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return b"".join(map(json_line, rows)).decode()
