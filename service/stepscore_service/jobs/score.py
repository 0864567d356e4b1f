"""The rows of `stepscore score`: each line's solution scored, offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepscore.errors import StepscoreError, map_ok
from stepscore_service.batching.encoding import SolutionRequest
from stepscore_service.jobs.data.items import request_of
from stepscore_service.jobs.runs.run import copied_columns, error_row
from stepscore_service.jobs.runs.source import JsonRow, Line
from stepscore_service.serving.scoring import ScoreOptions, ScoreResult, score_offline

if TYPE_CHECKING:
    from stepscore.scoring import Scoring

COLUMNS = (
    *("rewards", "score", "aggregate", "aggregates", "weakest_step", "first_error", "spans"),
    *("model", "revision", "dtype"),
)


def score_rows(scorer: Scoring, lines: Sequence[Line], split: str, options: ScoreOptions) -> list[JsonRow]:
    """A result row for each line, in order. Raises EngineError if the whole forward fails."""
    requests = [_request(line, split) for line in lines]
    results = map_ok(requests, lambda ok: score_offline(scorer, ok, options))
    return [_row(line, result) for line, result in zip(lines, results, strict=True)]


def _request(line: Line, split: str) -> SolutionRequest | StepscoreError:
    try:
        return request_of(line.row(), split)
    except StepscoreError as error:
        return error


def _row(line: Line, result: ScoreResult) -> JsonRow:
    if isinstance(result, StepscoreError):
        return error_row(line, result)
    answer = result.model_dump(include=set(COLUMNS), exclude_unset=True)
    return {**copied_columns(line.row()), "line": line.number, **answer}
