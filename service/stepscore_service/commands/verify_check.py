"""`stepscore verify-check`: how often a verifier is wrong, on solutions that somebody has judged."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from stepscore.errors import StepscoreError
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.first_row import check_first
from stepscore_service.jobs.runs.journal import FileJournal
from stepscore_service.jobs.runs.run import count_errors, journal_for, report_results, run
from stepscore_service.jobs.runs.sandboxes import report_sandboxes, sandboxes
from stepscore_service.jobs.runs.source import STDIN, ColumnsFlag, open_source

if TYPE_CHECKING:
    from stepscore_service.jobs.evaluate.verifier_check import Errors

SHAPE = 'an object like {"solution": "…", "answer": "…", "correct": true}, or with "candidates" and a list "correct"'
SHOWN = 20
NAMES = {
    "false_positives": "wrong, called right",
    "false_negatives": "right, called wrong",
    "unreadable_wrong": "wrong, left open",
    "unreadable_right": "right, left open",
}


def verify_check(
    file: Annotated[str, typer.Argument(help="JSONL of judged solutions", metavar="FILE.jsonl")],
    verifier: Annotated[str, typer.Option(help="math, numeric[:TOLERANCE], exact, code[:weak]", metavar="NAME")],
    out: Annotated[str | None, typer.Option(help="where results go; default FILE.verified.jsonl")] = None,
    columns: ColumnsFlag = "",
    batch_rows: Annotated[int, typer.Option(min=1, help="rows verified, written and synced together")] = 32,
) -> None:
    """Measure the false positives and negatives of a verifier.

    Every line holds solutions, whether each is correct, and the problem's "answer" or "tests"; GSM8K's published model
    solutions are read as they are. Results go to a file line by line, the numbers to a file beside it (.summary.json).
    Run the same command again after an interruption and it continues.
    """
    if STDIN in (file, out):
        console.fail("verify-check reads its own results again: give it files, not standard input or output.")
    source = open_source(file, columns=columns)
    from stepscore.verify.open import open_verifier  # loads SymPy's parser, which `--help` need not wait for
    from stepscore_service.jobs.evaluate.verifier_check import check_row, verify_rows

    check_first(source, check_row, SHAPE)
    try:
        chosen = open_verifier(verifier)
        held = sandboxes([chosen])
        report_sandboxes(held)
    except StepscoreError as error:
        console.fail_with(error)
    manifest = {"command": "verify-check", "input_sha256": source.digest, "verifier": verifier}
    manifest |= {"columns": columns} if columns else {}
    with closing(journal_for(source, out, "verified", manifest)) as journal:
        try:
            run(source, journal, partial(verify_rows, chosen), batch_rows)
        except StepscoreError as error:
            console.fail_with(error, console.ENGINE_FAILED)
    if isinstance(journal, FileJournal):
        _report(journal.path)
        report_results(count_errors(journal.path), journal.path)


def _report(path: Path) -> None:
    """What the results say, on the screen and in the file beside them."""
    from stepscore_service.jobs.evaluate.verifier_check import errors_in, judgements, write_summary

    errors = errors_in(path)
    console.show_result(_table(errors))
    disagreed = ((row, one) for row, one in judgements(path) if (one["outcome"] == "right") != one["correct"])
    for row, one in islice(disagreed, SHOWN):
        said = "right" if one["correct"] else "wrong"
        console.info(
            f"line {row['line']} {one['name']}: is {said}, called {one['outcome']}. {one['reason'] or row['truth']}"
        )
    if next(disagreed, None) is not None:
        console.info(f"… the others are in {path}: rows whose correct and outcome differ.")
    write_summary(path, errors)


def _table(errors: Errors) -> Table:
    from stepscore_service.jobs.evaluate.verifier_check import rates_of

    table = Table("solutions", "", "share", "95% interval")
    for name, rate in rates_of(errors):
        interval = rate.interval
        bounds = "–" if interval is None else f"{interval[0]:.2%} – {interval[1]:.2%}"
        table.add_row(
            NAMES[name], f"{rate.hits} of {rate.count}", "–" if rate.share is None else f"{rate.share:.2%}", bounds
        )
    return table
