"""The rows of `stepscore rerank`: each line's candidates ranked as by /rerank; and what ranking gains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice
from statistics import fmean
from typing import TYPE_CHECKING, Any

from stepscore.errors import StepscoreError
from stepscore_service.jobs.data.items import candidates_row, correct_of, text_of
from stepscore_service.jobs.runs.run import copied_columns, error_row
from stepscore_service.jobs.runs.source import JsonRow, Line
from stepscore_service.schemas.rerank import RerankRequest
from stepscore_service.serving.reranking import rank, solutions_of
from stepscore_service.serving.scoring import ScoreOptions, ScoreResult, score_offline

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo, Scoring

COLUMNS = ("results", "groups", "aggregate", "model", "revision", "dtype")

WEAKEST = 5


def rerank_rows(
    scorer: Scoring, lines: Sequence[Line], split: str, options: ScoreOptions, *, slim: bool = False
) -> list[JsonRow]:
    """A result row for each line, in order. All candidates of all lines go to the model together.

    A row with a candidate that cannot be scored is an error: leaving it out would compare unequal things.
    slim: without the texts. Raises EngineError if the whole forward fails.
    """
    requests = [_request(line, split) for line in lines]
    solutions = [each for request in requests if isinstance(request, RerankRequest) for each in solutions_of(request)]
    results = iter(score_offline(scorer, solutions, options))
    return [
        error_row(line, request, slim=slim)
        if isinstance(request, StepscoreError)
        else _row(scorer.info, line, request, options.aggregate, list(islice(results, len(request.candidates))), slim)
        for line, request in zip(lines, requests, strict=True)
    ]


def request_of_candidates(row: JsonRow, split: str = "auto") -> RerankRequest:
    """The candidates of a row as a request to /rerank would hold them. Raises InvalidInput."""
    found = candidates_row(row)
    candidates: list[Any] = list(found.candidates)
    return RerankRequest(problem=found.problem, candidates=candidates, split=found.split or split, vote="weighted")


def _request(line: Line, split: str) -> RerankRequest | StepscoreError:
    try:
        return request_of_candidates(line.row(), split)
    except StepscoreError as error:
        return error


def _row(
    info: ModelInfo, line: Line, request: RerankRequest, aggregate: str, results: Sequence[ScoreResult], slim: bool
) -> JsonRow:
    try:
        answer = rank(info, request, aggregate, results)
    except StepscoreError as error:
        return {**error_row(line, error, slim=slim), "candidate": error.detail["index"]}
    row = line.row()
    split = {"split": request.split} if not slim and any(isinstance(each, str) for each in request.candidates) else {}
    return {
        **copied_columns(row, slim=slim),
        **split,
        **correct_of(row, map(text_of, candidates_row(row).candidates)),
        "line": line.number,
        "best": answer.results[0].index,
        **answer.model_dump(include=set(COLUMNS), exclude_unset=True),
    }


@dataclass
class RankSums:
    """Sums over all rows. scores, best_scores: of all candidates, and of the best one of each row.

    weakest: the score of the best candidate, the line and the problem, of the rows in which that score is lowest.
    """

    rows: int = 0
    errors: int = 0
    candidates: int = 0
    steps: int = 0
    scores: float = 0.0
    best_scores: float = 0.0
    weakest: list[tuple[float, int, str]] = field(default_factory=list)

    def add(self, row: JsonRow) -> None:
        self.rows += 1
        if "error" in row:
            self.errors += 1
            return
        results = row["results"]
        self.candidates += len(results)
        self.steps += sum(len(result["rewards"]) for result in results)
        self.scores += sum(result["score"] for result in results)
        self.best_scores += results[0]["score"]
        weak = (results[0]["score"], row["line"], str(row.get("problem", row.get("id", ""))))
        self.weakest = nsmallest(WEAKEST, [*self.weakest, weak])

    @property
    def ranked(self) -> int:
        """Rows without an error."""
        return self.rows - self.errors


@dataclass
class RerankTally:
    """Sums over the rows whose candidates are known to be right or wrong. candidates: over all these rows.

    Of candidates or answers that a way of choosing cannot tell apart, each is as likely: what comes first in the file
    must not count as chosen by the vote or the score.
    """

    rows: int = 0
    candidates: int = 0
    fewest: int = 0
    most: int = 0
    mean: float = 0.0
    majority: float = 0.0
    weighted: float = 0.0
    best: float = 0.0
    any: int = 0

    def add(self, rows: Iterable[JsonRow]) -> None:
        for row in rows:
            if "error" not in row and "correct" in row:
                self._count(row["correct"], row)

    def _count(self, correct: Sequence[bool], row: JsonRow) -> None:
        n = len(correct)
        self.fewest = min(self.fewest or n, n)
        self.most = max(self.most, n)
        self.rows += 1
        self.candidates += n
        self.mean += sum(correct) / n
        self.majority += fmean(fmean(correct[each] for each in members) for members in most_frequent(row["groups"]))
        self.weighted += fmean(correct[each] for each in heaviest(row["groups"]))
        self.best += fmean(correct[each] for each in highest(row["results"]))
        self.any += any(correct)


def most_frequent(groups: Sequence[JsonRow]) -> list[list[int]]:
    """The candidates of each answer that a majority vote may elect.

    Candidates without an answer win only if no candidate has one, guessed answers only if no candidate states one.
    """
    answered = [group for group in groups if group["answer"] is not None] or groups
    voting = [group for group in answered if group.get("reader") != "guess"] or answered
    most = max(len(group["members"]) for group in voting)
    return [group["members"] for group in voting if len(group["members"]) == most]


def heaviest(groups: Sequence[JsonRow]) -> list[int]:
    """The best candidate of the first group, and of those that stand after it by their order in the file alone."""
    first = groups[0]
    return [each["best"] for each in groups if _standing(each) == _standing(first)]


def _standing(group: JsonRow) -> tuple[bool, float, bool, float]:
    return group["answer"] is None, group["weight"], group.get("reader") == "guess", group["score"]


def highest(results: Sequence[JsonRow]) -> list[int]:
    """The candidates with the highest score. results: best first."""
    return [each["index"] for each in results if each["score"] == results[0]["score"]]
