"""The rows of `stepscore score`: each line's solution scored, offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import TYPE_CHECKING

import numpy as np

from stepscore.errors import StepscoreError, map_ok
from stepscore.types import SolutionRequest
from stepscore_service.jobs.data.items import request_of, split_row
from stepscore_service.jobs.data.rows import truth_value
from stepscore_service.jobs.metrics.separation import auroc
from stepscore_service.jobs.runs.run import copied_columns, error_row
from stepscore_service.jobs.runs.source import JsonRow, Line
from stepscore_service.serving.scoring import ScoreOptions, ScoreResult, score_offline

if TYPE_CHECKING:
    from stepscore.scoring.protocol import Scoring

COLUMNS = (
    *("rewards", "score", "aggregate", "aggregates", "weakest_step", "first_error", "threshold", "spans"),
    *("model", "revision", "dtype"),
)
WEAKEST = 5
OUTCOMES = ("is_correct", "outcome", "correct", "final_answer_correct")
"""Columns that say whether a solution's final answer is right, by how common they are."""


def score_rows(
    scorer: Scoring, lines: Sequence[Line], split: str, options: ScoreOptions, *, slim: bool = False
) -> list[JsonRow]:
    """A result row for each line, in order. slim: without the texts. Raises EngineError if the whole forward fails."""
    requests = [_request(line, split) for line in lines]
    results = map_ok(requests, lambda ok: score_offline(scorer, ok, options))
    return [_row(line, request, result, slim) for line, request, result in zip(lines, requests, results, strict=True)]


def _request(line: Line, split: str) -> SolutionRequest | StepscoreError:
    try:
        return request_of(line.row(), split)
    except StepscoreError as error:
        return error


def _row(line: Line, request: SolutionRequest | StepscoreError, result: ScoreResult, slim: bool) -> JsonRow:
    if isinstance(request, StepscoreError):
        return error_row(line, request, slim=slim)
    if isinstance(result, StepscoreError):
        return error_row(line, result, slim=slim)
    row, answer = line.row(), result.model_dump(include=set(COLUMNS), exclude_unset=True)
    steps = {} if slim else _steps(row, request)
    return {**copied_columns(row, slim=slim), **steps, "line": line.number, **answer}


def _steps(row: JsonRow, request: SolutionRequest) -> JsonRow:
    """The steps that the rewards belong to, if the row does not hold them."""
    if row.get("steps") is not None or row.get("completions") is not None:
        return {}
    return {"steps": list(split_row(row, request.split).solution.steps)}


@dataclass
class ScoreTally:
    """Sums over result rows. weakest: the rows with the lowest scores, each with its line, id and weakest step.

    judged: the score of each row whose outcome is known, and whether it is right.
    """

    rows: int = 0
    errors: int = 0
    steps: int = 0
    total: float = 0.0
    with_first_error: int = 0
    weakest: list[WeakRow] = field(default_factory=list)
    judged: list[tuple[bool, float]] = field(default_factory=list)

    def add(self, row: JsonRow) -> None:
        self.rows += 1
        if "error" in row:
            self.errors += 1
            return
        self.steps += len(row["rewards"])
        self.total += row["score"]
        self.with_first_error += row["first_error"] is not None
        self.weakest = nsmallest(WEAKEST, [*self.weakest, weak_row(row)], key=lambda each: each.score)
        known = (truth_value(row.get(name)) for name in OUTCOMES)
        outcome = next((each for each in known if isinstance(each, bool)), None)
        if outcome is not None:
            self.judged.append((outcome, row["score"]))

    @property
    def scored(self) -> int:
        return self.rows - self.errors

    def outcome_auroc(self) -> float | None:
        """The chance that a right solution has the higher score than a wrong one; None without both kinds."""
        good, scores = zip(*self.judged, strict=True) if self.judged else ((), ())
        return auroc(np.array(good, dtype=np.bool_), np.array(scores, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class WeakRow:
    """text: of its weakest step; "" if the results are slim."""

    line: int
    id: str
    score: float
    step: int
    text: str


def weak_row(row: JsonRow) -> WeakRow:
    steps = row.get("steps") or row.get("completions") or ()
    text = steps[row["weakest_step"]] if steps else ""
    return WeakRow(row["line"], str(row.get("id", "")), row["score"], row["weakest_step"], text)
