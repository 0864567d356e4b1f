"""A shard: the tasks that are labelled together and whose results are written together, or not at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepscore.rollout.task import Sample, gather, run
from stepscore_service.jobs.data.labelled import Labelled, to_row
from stepscore_service.jobs.label.filtering import Consensus, sifted
from stepscore_service.jobs.label.methods.base import Labels, Method
from stepscore_service.jobs.label.stats import RolloutStats, record, sum_totals
from stepscore_service.jobs.label.task import Task

LABELS, ROLLOUTS, TREES, DROPPED = "labels", "rollouts", "trees", "dropped"


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive tasks of the input. index: its place, from 0."""

    index: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Finished:
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


def label_shard(
    shard: Shard,
    method: Method,
    sample: Sample,
    *,
    keep_rollouts: bool = False,
    drop_unsolved: bool = False,
    consensus: Consensus | None = None,
    error_below: float = 0.0,
) -> Finished:
    """All tasks of a shard side by side. The same shard, method and seed give the same files. Raises StepscoreError."""
    stats = [RolloutStats(task.id, keep=keep_rollouts) for task in shard.tasks]
    tasks = [record(method.label(task), each) for task, each in zip(shard.tasks, stats, strict=True)]
    labels = run(gather(tasks), sample)
    files, totals = _trees(labels), [each.totals for each in stats]
    chosen = sifted([each.rows for each in labels], stats, drop_unsolved=drop_unsolved)
    totals.append(Counter(chosen.totals))
    rows, dropped = chosen.kept, chosen.dropped
    if consensus is not None:
        chosen = consensus.sift(rows)
        rows, dropped = chosen.kept, dropped + chosen.dropped
        totals.append(Counter(chosen.totals))
    if drop_unsolved or consensus is not None:
        files[DROPPED] = lines(map(to_row, dropped))
    if keep_rollouts:
        files[ROLLOUTS] = lines(row for each in stats for row in each.rows)
    totals.append(Counter(counts_of(rows, len(shard.tasks), error_below)))
    return Finished(shard.index, {LABELS: lines(map(to_row, rows)), **files}, sum_totals(totals))


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
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _trees(labels: Sequence[Labels]) -> dict[str, str]:
    trees = [each.tree for each in labels if each.tree is not None]
    return {TREES: lines(trees)} if trees else {}
