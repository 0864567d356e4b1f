"""The loop of the offline commands: rows in chunks, results to the journal, progress, and a clean end on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import typer

from stepscore.errors import StepscoreError
from stepscore_service.errors import body_of
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.journal import (
    Journal,
    StdoutJournal,
    is_finished,
    manifest_path,
    open_journal,
    read_rows,
    refuse_other_run,
    refuse_unwritable,
)
from stepscore_service.jobs.runs.manifest import Manifest
from stepscore_service.jobs.runs.progress import ProgressDisplay
from stepscore_service.jobs.runs.signals import StopSignals
from stepscore_service.jobs.runs.source import STDIN, JsonRow, Line, Source, results_name

TEXTS = frozenset({"problem", "prompt", "steps", "completions", "solution", "split", "candidates"})
"""Columns that slim results leave out; all others are repeated, so that ids stay."""
RESULTS = frozenset(
    {
        *("rewards", "score", "aggregate", "aggregates", "weakest_step", "first_error", "threshold", "spans"),
        *("results", "groups", "best", "candidate", "error", "line", "model", "revision", "dtype"),
    }
)
"""Columns that the commands themselves write."""

RESUME = "What was computed is written; the same command continues after it."

T = TypeVar("T")
ScoreChunk = Callable[[Sequence[Line]], Sequence[JsonRow]]


def results_path(source: Source, out: str | None, suffix: str) -> Path | None:
    """The file `out`, by default beside the input; None for `-`, standard output."""
    if out == STDIN or (out is None and source.path == STDIN):
        return None
    return Path(out) if out else results_name(source.path, f"{suffix}.jsonl")


def find_finished(
    source: Source, out: str | None, suffix: str, asked: Callable[[], str], known: Manifest
) -> Path | None:
    """The results, if an earlier run of the same command wrote all of them; says so. asked: see `is_finished`.

    Ends the command if they are of another run, or cannot be written. known: what is known of this one before a model
    is open.
    """
    path = results_path(source, out, suffix)
    source.refuse_output(path)
    if path is None:
        return None
    refuse_unwritable(path)
    if not manifest_path(path).exists():
        return None
    if is_finished(path, asked(), source.total):
        console.info(f"{path}: {'the only row is' if source.total == 1 else f'all {source.total} rows are'} done.")
        return path
    refuse_other_run(path, known)
    return None


def journal_for(source: Source, out: str | None, suffix: str, manifest: Manifest, asked: str = "") -> Journal:
    """Standard output for `-`; else the file `out`, by default beside the input."""
    path = results_path(source, out, suffix)
    if path is None:
        return StdoutJournal()
    source.refuse_output(path, manifest_path(path))
    journal = open_journal(path, manifest, numbers_of(source), asked)
    if journal.done:
        console.info(f"{path}: {console.with_count(journal.done, 'row is', 'rows are')} done; continuing after them.")
    return journal


def numbers_of(source: Source) -> Iterator[int]:
    """The numbers of the lines of a file; nothing for standard input, which is read only once."""
    return iter(()) if source.path == STDIN else (line.number for line in source.lines())


def copied_columns(row: JsonRow, *, slim: bool = True) -> JsonRow:
    """What a result repeats of its row. slim: without the texts.

    A column that has the name of a result, such as a `model` that wrote the solution, becomes `input_model`. If the row
    is itself a result, those of the earlier run are left out.
    """
    left_out = (RESULTS if is_result(row) else frozenset()) | (TEXTS if slim else frozenset())
    kept = ((name, value) for name, value in row.items() if name not in left_out)
    return {f"input_{name}" if name in RESULTS else name: value for name, value in kept}


def is_result(row: JsonRow) -> bool:
    """Whether `stepscore score` or `stepscore rerank` wrote this row."""
    return "line" in row and ("error" in row or "revision" in row)


def error_cell(error: StepscoreError) -> JsonRow:
    """What a result holds of an error: the service's own shape."""
    return body_of(error)


def error_row(line: Line, error: StepscoreError, *, slim: bool = True) -> JsonRow:
    """The result of a row that has none: its line, its ids and the error."""
    return {**copied_columns(line.columns(), slim=slim), "line": line.number, "error": error_cell(error)}


def run(source: Source, journal: Journal, score: ScoreChunk, size: int) -> int:
    """Score every row that the journal does not hold yet, `size` rows at a time. Returns how many rows have an error.

    On Ctrl-C or SIGTERM the chunk in progress is finished and written, then the command ends with 130.
    """
    errors = 0
    lines = islice(source.lines(), journal.done, None)
    with (
        StopSignals("Stopping after this batch (again to stop at once).") as stop,
        ProgressDisplay("rows", source.total, journal.done) as display,
    ):
        for chunk in chunks(lines, size):
            results = _score(score, chunk)
            journal.append(results)
            errors += sum("error" in row for row in results)
            display.advance(len(chunk), f"{errors} errors" if errors else "")
            if stop.requested:
                break
    if stop.requested:
        console.info(f"Stopped. {RESUME}")
        raise typer.Exit(console.INTERRUPTED)
    return errors


def count_errors(path: Path) -> int:
    """How many of all results are errors, those of earlier runs included."""
    return sum("error" in row for row in read_rows(path))


def report_results(errors: int, path: Path | None) -> None:
    """path: of the results; None for standard output. Ends the command with ROWS_FAILED if a row has an error."""
    where = "" if path is None else f' See the rows with "error" in {path}.'
    if path is not None:
        console.info(f"Results: {path}")
    if errors:
        console.fail(f"{errors} of the rows could not be scored.{where}", console.ROWS_FAILED)


def _score(score: ScoreChunk, chunk: Sequence[Line]) -> Sequence[JsonRow]:
    try:
        return score(chunk)
    except StepscoreError:
        console.info(f"Failed at line {chunk[0].number}. {RESUME}")
        raise


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """All the items in order, `size` at a time; the last chunk may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
