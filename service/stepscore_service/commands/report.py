"""`stepscore report`: a picture of scored solutions, as one page of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs import atomic, console
from stepscore_service.jobs.runs.progress import with_progress
from stepscore_service.jobs.runs.source import JsonRow, Source, open_source, results_name
from stepscore_service.jobs.score.report.numbers import ReportNumbers
from stepscore_service.jobs.score.report.page import report_page
from stepscore_service.jobs.score.rows import OUTCOMES


def report(
    file: Annotated[str, typer.Argument(metavar="FILE", help="what `stepscore score` or `stepscore rerank` wrote")],
    out: Annotated[Path | None, typer.Option(help="the page; default FILE.report.html")] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="split by this column; by default one such as is_correct, if there is one"),
    ] = None,
) -> None:
    """Draw a report of a file of scores: one page that needs no other file.

    It shows a histogram of the scores, the reward by place in the solution, aggregates against length, and the twenty
    solutions with the lowest scores, their steps coloured. No model is opened.
    """
    source = open_source(file)
    path = out or results_name(file, "report.html")
    source.refuse_output(path)
    column = _default_column(source) if by is None else by
    numbers = ReportNumbers(column)
    for line in with_progress(source.lines(), "rows", source.total):
        try:
            numbers.add(line.row())
        except InvalidInput as error:
            where = "" if error.message.startswith("line ") else f"line {line.number}: "
            console.fail(f"{file}, {where}{error.message}.")
    if not numbers.groups:
        console.fail(f"{file}: no row has a result; {numbers.errors.total()} have an error.")
    if by and set(numbers.groups) == {"not known"}:
        console.fail(f"{file}: no row has the column {by!r}.")
    try:
        atomic.write_text(path, report_page(numbers, Path(file).name))
    except OSError as error:
        console.fail(f"cannot write {path}: {error.strerror}. Give another --out.")
    console.info(f"Report: {path}")


def _default_column(source: Source) -> str:
    first: JsonRow = next(source.lines()).columns()
    return next((name for name in OUTCOMES if name in first), "")
