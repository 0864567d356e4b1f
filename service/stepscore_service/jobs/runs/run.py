"""The loop of the offline commands: rows in chunks, results to the journal, progress, and a clean end on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stepscore.errors import StepscoreError
from stepscore_service.errors import body_of
from stepscore_service.jobs.data.rows import STDIN, Line, Row, Source
from stepscore_service.jobs.runs.console import ERR, INTERRUPTED, ROWS_FAILED, note, stop
from stepscore_service.jobs.runs.journal import FileJournal, Journal, Manifest, StdoutJournal, open_journal
from stepscore_service.jobs.runs.progress import PlainLines

CONSUMED = frozenset({"problem", "steps", "solution", "split", "candidates"})
"""Columns that are not repeated in the results; all others are, so that ids stay."""

RESUME = "What was computed is written; the same command continues after it."

T = TypeVar("T")
ScoreChunk = Callable[[Sequence[Line]], Sequence[Row]]


def journal_for(source: Source, out: str | None, suffix: str, manifest: Manifest) -> Journal:
    """Standard output for `-`; else the file `out`, by default beside the input."""
    if out == STDIN or (out is None and source.path == STDIN):
        return StdoutJournal()
    path = Path(out) if out else Path(source.path).with_suffix(f".{suffix}.jsonl")
    journal = open_journal(path, manifest)
    if journal.done:
        note(f"{path}: {journal.done} rows are done; continuing after them.")
    return journal


def kept(row: Row) -> Row:
    return {key: value for key, value in row.items() if key not in CONSUMED}


def error_row(line: Line, error: StepscoreError) -> Row:
    """The result of a row that has none: its line, its ids and the error in the service's own shape."""
    try:
        row = line.row()
    except StepscoreError:
        row = {}
    return {**kept(row), "line": line.number, "error": body_of(error)}


def run(source: Source, journal: Journal, score: ScoreChunk, size: int) -> int:
    """Score every row that the journal does not hold yet, `size` rows at a time. Returns how many rows have an error.

    On Ctrl-C or SIGTERM the chunk in progress is finished and written, then the command ends with 130.
    """
    errors = 0
    lines, plain = islice(source.lines(), journal.done, None), PlainLines(journal.done, source.total)
    with _stopping() as asked, _progress() as progress:
        task = progress.add_task("rows", total=source.total, completed=journal.done, errors=0)
        for chunk in chunks(lines, size):
            results = _scored(score, chunk)
            journal.append(results)
            errors += sum("error" in row for row in results)
            progress.update(task, advance=len(chunk), errors=errors)
            plain.tell(len(chunk))
            if asked:
                break
    if asked:
        note(f"Stopped. {RESUME}")
        raise typer.Exit(INTERRUPTED)
    return errors


def report(errors: int, journal: Journal) -> None:
    """Say how it went; ends the command with ROWS_FAILED where a row has an error."""
    where = f' See the rows with "error" in {journal.path}.' if isinstance(journal, FileJournal) else ""
    if isinstance(journal, FileJournal):
        note(f"Results: {journal.path}")
    if errors:
        stop(f"{errors} of the rows of this run could not be scored.{where}", ROWS_FAILED)


def _scored(score: ScoreChunk, chunk: Sequence[Line]) -> Sequence[Row]:
    try:
        return score(chunk)
    except StepscoreError:
        note(f"Failed at line {chunk[0].number}. {RESUME}")
        raise


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """All the items in order, `size` at a time; the last chunk may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    errors = TextColumn("[red]{task.fields[errors]} errors")
    return Progress(
        *columns, TextColumn("left"), TimeRemainingColumn(), errors, console=ERR, disable=not ERR.is_terminal
    )


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """A list that fills at the first SIGINT or SIGTERM; the second one has its usual effect."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, before[signal.Signals(number)])
        note("Stopping after this batch (again to stop at once).")

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
