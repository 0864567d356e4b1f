"""The rows of `stepscore score`: each line's solution scored, offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepscore.errors import StepscoreError, map_ok
from stepscore_service.batching.encoding import SolutionRequest, split_steps
from stepscore_service.jobs.data.items import request_of
from stepscore_service.jobs.runs.run import copied_columns, error_row
from stepscore_service.jobs.runs.source import JsonRow, Line
from stepscore_service.serving.scoring import ScoreOptions, ScoreResult, score_offline

if TYPE_CHECKING:
    from stepscore.scoring import Scoring

COLUMNS = (
    *("rewards", "score", "aggregate", "aggregates", "weakest_step", "first_error", "threshold", "spans"),
    *("model", "revision", "dtype"),
)


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
    return {"steps": list(split_steps(request).solution.steps)}
