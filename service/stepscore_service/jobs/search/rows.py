"""Problems of a file in, one result row for each out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stepscore.errors import InvalidInput, NoProblem, StepscoreError
from stepscore.search.searcher import SearchProblem, SearchResult, trace_of
from stepscore_service.jobs.data.items import correct_of
from stepscore_service.jobs.data.rows import text_field
from stepscore_service.jobs.runs.run import copied_columns, error_cell, error_row
from stepscore_service.jobs.runs.source import JsonRow, Line, Source, kind_of_value


@dataclass(slots=True)
class ProblemRows:
    """The problems of a file that have no result yet. errors: rows that cannot be used. lines: the others, by key."""

    source: Source
    done: frozenset[int]
    lines: dict[str, Line] = field(default_factory=dict)
    errors: list[JsonRow] = field(default_factory=list)

    def __iter__(self) -> Iterator[SearchProblem]:
        for line in self.source.lines():
            if line.number in self.done:
                continue
            try:
                problem = problem_of(line.row())
            except StepscoreError as error:
                self.errors.append(error_row(line, error))
                continue
            self.lines[str(line.number)] = line
            yield SearchProblem(str(line.number), problem)


def problem_of(row: JsonRow) -> str:
    """The problem of a row, or TRL's prompt. Raises InvalidInput, also for a known answer that is none."""
    name = "prompt" if "prompt" in row and "problem" not in row else "problem"
    problem, answer = text_field(row, name), row.get("answer")
    if not problem.strip():
        raise NoProblem("the problem is empty; send the text that the solution solves")
    if answer is None or "correct" in row:
        return problem
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise InvalidInput(f"'answer' is {kind_of_value(answer)}, not text or a number", field="answer")
    if not str(answer).strip():
        raise InvalidInput("'answer' is empty; leave it out if it is not known", field="answer")
    return problem


def result_row(line: Line, result: SearchResult, method: str) -> JsonRow:
    """What became of a problem, its tree included. `correct` and `solved` are there if the row has an `answer`.

    solved: whether any candidate is right. A search that failed without a solution has an `error` as well.
    """
    row = line.row()
    correct = correct_of(row, (candidate.text for candidate in result.candidates)).get("correct")
    chosen = result.choice.chosen
    known = {} if correct is None else {"correct": chosen is not None and correct[chosen], "solved": any(correct)}
    return {
        **copied_columns(row),
        "line": line.number,
        "problem": result.problem.problem,
        "method": method,
        "found": result.answer,
        "solution": result.text,
        "score": None if chosen is None else result.candidates[chosen].score,
        **known,
        "candidates": len(result.candidates),
        "stopped": result.stopped,
        **({"reason": result.reason} if result.reason else {}),
        "policy_tokens": result.policy_tokens,
        "rounds": result.rounds,
        "rated": result.rated,
        "seconds": round(result.seconds, 3),
        "trace": trace_of(result),
        **({"error": error_cell(result.error)} if result.error is not None else {}),
    }


@dataclass(slots=True)
class SearchTally:
    """Sums over result rows. judged: rows whose answer is known.

    prm_tokens: that the PRM read in this run, with those that its engine had kept.
    """

    rows: int = 0
    failed: int = 0
    judged: int = 0
    correct: int = 0
    solved: int = 0
    policy_tokens: int = 0
    prm_tokens: int = 0
    seconds: float = 0.0

    def add(self, row: JsonRow) -> None:
        self.rows += 1
        self.failed += "error" in row
        self.policy_tokens += row.get("policy_tokens", 0)
        self.seconds += row.get("seconds", 0.0)
        if "correct" in row:
            self.judged += 1
            self.correct += row["correct"]
            self.solved += row["solved"]

    @property
    def detail(self) -> str:
        """A few words for the progress display."""
        accuracy = f"accuracy {self.correct / self.judged:.1%}, " if self.judged else ""
        tokens = f"{self.policy_tokens:,} policy tokens" + (
            f", {self.prm_tokens:,} PRM tokens" if self.prm_tokens else ""
        )
        return accuracy + tokens + (f", {self.failed} failed" if self.failed else "")


def rows_of(path: Path) -> Iterable[JsonRow]:
    """Result rows that are on disk; nothing if there is no file."""
    if path.is_file():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)
