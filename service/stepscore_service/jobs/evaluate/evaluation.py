"""An evaluation: every file through its suite into a journal, then the numbers from the journals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stepscore.errors import InvalidInput, StepscoreError
from stepscore.types import PROBABILITY, RewardRange, Solution
from stepscore_service.jobs.evaluate.suites.base import Measured, RewardFacts, Suite
from stepscore_service.jobs.evaluate.suites.best_of_n import BestOfN, is_reranked, range_of
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.journal import WRITTEN, manifest_path, open_journal, read_rows
from stepscore_service.jobs.runs.manifest import Manifest, differences, read_manifest
from stepscore_service.jobs.runs.rewards import Rewards, ScoredOrError
from stepscore_service.jobs.runs.run import error_row, run
from stepscore_service.jobs.runs.source import JsonRow, Line, Source

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EvaluationPart:
    """One file of one suite. name: what it is called in the report."""

    suite: Suite
    name: str
    source: Source

    def journal(self, out: Path) -> Path:
        return out / "rows" / f"{self.suite.kind}-{self.name}.jsonl"

    def asks(self) -> bool:
        """Whether a model is needed: rows that `stepscore rerank` wrote hold their rewards."""
        first = next(self.source.lines())
        return not (isinstance(self.suite, BestOfN) and is_reranked(first.row()))

    def is_finished(self, out: Path, manifest: Manifest) -> bool:
        """Whether every row of the file has its result in the journal, which is of this very manifest."""
        journal = self.journal(out)
        try:
            before = read_manifest(manifest_path(journal))
            with journal.open("rb") as file:
                lines = sum(line.endswith(b"\n") for line in file)
        except (OSError, InvalidInput):
            return False
        before.pop(WRITTEN, None)
        return lines == self.source.total and not differences(before, manifest)


@dataclass(frozen=True, slots=True)
class JournalRows:
    """What a journal holds, as often as somebody goes through it."""

    path: Path

    def __iter__(self) -> Iterator[JsonRow]:
        return read_rows(self.path)


def score(part: EvaluationPart, rewards: Rewards | None, out: Path, manifest: Manifest, batch_rows: int) -> int:
    """Every row of the file into the journal in `out/rows`, continuing what is there; how many rows cannot be used."""
    path = part.journal(out)
    with closing(open_journal(path, manifest)) as journal:
        if 0 < journal.done != part.source.total:
            done = console.with_count(journal.done, "row is", "rows are")
            console.info(f"{part.suite.kind} {part.name}: {done} done; continuing after them.")
        run(part.source, journal, lambda lines: score_lines(part.suite, rewards, lines), batch_rows)
    return sum("error" in row for row in read_rows(path))


def score_lines(suite: Suite, rewards: Rewards | None, lines: Sequence[Line]) -> list[JsonRow]:
    """The result rows of some lines. All their solutions go to the model together."""
    asked = [_requests(suite, line, rewards) for line in lines]
    solutions = [solution for each in asked if isinstance(each, list) for solution in each]
    answers = iter(rewards.score(solutions) if rewards is not None and solutions else [])
    return [_result(suite, line, each, answers) for line, each in zip(lines, asked, strict=True)]


def measure(parts: Sequence[EvaluationPart], model: RewardFacts | None, out: Path) -> Measured:
    """The numbers of every suite by its kind. model: None if no model was asked."""
    measured: Measured = {}
    for kind in dict.fromkeys(part.suite.kind for part in parts):
        some = [part for part in parts if part.suite.kind == kind]
        files: Mapping[str, JournalRows] = {part.name: JournalRows(part.journal(out)) for part in some}
        measured[kind] = some[0].suite.measure(files, facts_for(files, model))
    return measured


def facts_for(files: Mapping[str, JournalRows], model: RewardFacts | None) -> RewardFacts:
    """What is known of the rewards: of the model, or of the rows alone if no model was asked."""
    return model or RewardFacts(_common_range(files))


def _common_range(files: Mapping[str, JournalRows]) -> RewardRange:
    ranges = [range_of(rows) for rows in files.values()]
    return next((each for each in ranges if each.kind != "probability"), PROBABILITY)


def _requests(suite: Suite, line: Line, rewards: Rewards | None) -> list[Solution] | StepscoreError:
    """rewards: None if no model is asked, since the first row holds its rewards."""
    try:
        asked = suite.ask(line.row())
    except StepscoreError as error:
        return error
    if asked and rewards is None:
        return InvalidInput("this row holds no rewards, unlike the first one; score the whole file first")
    return asked


def _result(
    suite: Suite, line: Line, asked: list[Solution] | StepscoreError, answers: Iterator[ScoredOrError]
) -> JsonRow:
    if isinstance(asked, StepscoreError):
        return error_row(line, asked)
    return {"line": line.number, **suite.keep(line.row(), [next(answers) for _ in asked])}
