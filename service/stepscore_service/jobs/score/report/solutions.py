"""The solutions of a scored or reranked file, one by one, as the report counts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from stepscore.aggregate import aggregate_all
from stepscore.errors import InvalidInput, StepscoreError
from stepscore.types import RewardRange, kind_of
from stepscore_service.jobs.data.items import split_candidates
from stepscore_service.jobs.data.rows import RowModel, columns_of, read_as
from stepscore_service.jobs.runs.source import JsonRow

UNBOUNDED = RewardRange("real", float("-inf"), float("inf"))
BOUNDED = RewardRange("probability", 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class ReportedSolution:
    """name: its line and id. steps: () if the results hold no texts. group: the value of the column to split by.

    judged: whether a threshold was applied, without which `first_error` says nothing.
    """

    name: str
    problem: str
    steps: Sequence[str]
    rewards: Sequence[float]
    score: float
    first_error: int | None
    aggregates: Mapping[str, float]
    group: str
    judged: bool = True


class ScoredColumns(RowModel):
    """The columns of `stepscore score` that the report needs."""

    line: int
    rewards: list[float] = Field(min_length=1)
    score: float
    first_error: int | None = None


class RankedColumns(RowModel):
    """One entry of `results`, as `stepscore rerank` writes it."""

    index: int
    rewards: list[float] = Field(min_length=1)
    score: float


def solutions_of(row: JsonRow, by: str) -> Iterator[ReportedSolution]:
    """One for a scored row, one for each candidate of a reranked row. by: the column to split by, or "".

    Raises InvalidInput for a row of another kind.
    """
    if "results" in row:
        yield from _candidates(row, by)
        return
    if "rewards" not in row:
        have = columns_of(row)
        raise InvalidInput(f"'rewards' is missing: give what `stepscore score` or `rerank` wrote (columns: {have})")
    found = read_as(ScoredColumns, row)
    steps = row.get("steps") or row.get("completions") or ()
    yield ReportedSolution(
        name=_name(row),
        problem=str(row.get("problem", row.get("prompt", ""))),
        steps=steps if len(steps) == len(found.rewards) else (),
        rewards=found.rewards,
        score=found.score,
        first_error=found.first_error,
        aggregates=_aggregates(row, found.rewards),
        group=group_of(row.get(by)) if by else "",
    )


def group_of(value: Any) -> str:
    """The name of a group, from the value of a column; all lists and objects count as one."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float | str) else "other"


def _candidates(row: JsonRow, by: str) -> Iterator[ReportedSolution]:
    splits = split_candidates(row) if "candidates" in row else []
    values = row.get(by) if by else None
    for result in row["results"]:
        found = read_as(RankedColumns, result)
        split = splits[found.index] if found.index < len(splits) else None
        steps = () if split is None or isinstance(split, StepscoreError) else split.solution.steps
        value = values[found.index] if isinstance(values, list) and found.index < len(values) else values
        yield ReportedSolution(
            name=f"{_name(row)} · candidate {found.index}",
            problem=str(row.get("problem", "")),
            steps=steps if len(steps) == len(found.rewards) else (),
            rewards=found.rewards,
            score=found.score,
            first_error=None,
            aggregates=_aggregates(row, found.rewards),
            group=group_of(value) if by else "",
            judged=False,
        )


def _name(row: JsonRow) -> str:
    return f"line {row.get('line', '?')}" + (f" · id {row['id']}" if row.get("id") not in (None, "") else "")


def _aggregates(row: JsonRow, rewards: Sequence[float]) -> Mapping[str, float]:
    given = row.get("aggregates")
    if isinstance(given, dict):
        return {name: value for name, value in given.items() if isinstance(value, int | float)}
    return aggregate_all(rewards, BOUNDED if kind_of(rewards) == "probability" else UNBOUNDED)
