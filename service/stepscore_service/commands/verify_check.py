"""`stepscore verify-check`: how often a verifier is wrong, on solutions that somebody has judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from stepscore.errors import InvalidInput, StepscoreError
from stepscore_service.jobs.data.rows import AnswerRow, column_of, read_as, text_field, truth_value
from stepscore_service.jobs.runs import atomic, console
from stepscore_service.jobs.runs.first_row import check_first
from stepscore_service.jobs.runs.journal import FileJournal, read_rows
from stepscore_service.jobs.runs.run import count_errors, error_row, journal_for, report_results, run
from stepscore_service.jobs.runs.sandboxes import report_sandboxes, sandboxes
from stepscore_service.jobs.runs.source import (
    STDIN,
    ColumnsFlag,
    JsonRow,
    Line,
    kind_of_value,
    open_source,
)

if TYPE_CHECKING:
    from stepscore.verify.measure import Errors, Rate
    from stepscore.verify.verifier import Truth, Verifier

SHAPE = 'an object like {"solution": "…", "answer": "…", "correct": true}, or with "candidates" and a list "correct"'
SHOWN = 20
NAMES = {
    "false_positives": "wrong, called right",
    "false_negatives": "right, called wrong",
    "unreadable_wrong": "wrong, left open",
    "unreadable_right": "right, left open",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A solution that somebody has judged. name: which one of its row."""

    name: str
    solution: str
    correct: bool


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
    check_first(source, lambda row: (cases_of(row), truth_of(row)), SHAPE)
    try:
        from stepscore.verify.open import open_verifier  # loads SymPy's parser, which `--help` need not wait for

        judge = open_verifier(verifier)
        held = sandboxes([judge])
        report_sandboxes(held)
    except StepscoreError as error:
        console.fail_with(error)
    manifest = {"command": "verify-check", "input_sha256": source.digest, "verifier": verifier}
    manifest |= {"columns": columns} if columns else {}
    with closing(journal_for(source, out, "verified", manifest)) as journal:
        _run_all(judge, source, journal, batch_rows)
    if isinstance(journal, FileJournal):
        _summarise(journal.path)
        report_results(count_errors(journal.path), journal.path)


def _run_all(judge: Verifier, source: Any, journal: Any, batch_rows: int) -> None:
    try:
        run(source, journal, lambda lines: [_verified(judge, line) for line in lines], batch_rows)
    except StepscoreError as error:
        console.fail_with(error, console.ENGINE_FAILED)


def cases_of(row: JsonRow) -> list[Case]:
    """The judged solutions of a row. Raises InvalidInput."""
    published = [(name, value) for name, value in row.items() if isinstance(value, dict) and "is_correct" in value]
    if published:
        return [_case(name, value.get("solution"), value["is_correct"]) for name, value in published]
    if "candidates" not in row:
        return [_case("solution", column_of(row, "solution"), column_of(row, "correct"))]
    candidates, correct = row["candidates"], column_of(row, "correct")
    if not isinstance(candidates, list) or not isinstance(correct, list) or len(candidates) != len(correct):
        raise InvalidInput('"candidates" and "correct" must be lists of one length', field="correct")
    return [_case(str(at), each, right) for at, (each, right) in enumerate(zip(candidates, correct, strict=True))]


def truth_of(row: JsonRow) -> Truth:
    """What is known of the problem; of a worked solution (`ground_truth`) its final answer. Raises InvalidInput."""
    from stepscore.verify.answers import final_answer
    from stepscore.verify.verifier import Truth

    if "ground_truth" in row:
        return Truth(final_answer(text_field(row, "ground_truth")) or "")
    given: dict[str, str] = {name: text_field(row, name) for name in ("tests", "entry_point") if name in row}
    if "answer" in row:
        given["answer"] = read_as(AnswerRow, row).answer
    if not given.get("answer") and not given.get("tests"):
        raise InvalidInput(f'"answer" or "tests" is missing (columns: {", ".join(row) or "none"})', field="answer")
    return Truth(**given)


def _case(name: str, solution: Any, correct: Any) -> Case:
    text = "\n".join(solution) if isinstance(solution, list) and all(isinstance(s, str) for s in solution) else solution
    if not isinstance(text, str):
        raise InvalidInput(
            f"solution {name} is {kind_of_value(solution)}, not a text or a list of texts", field="solution"
        )
    if not isinstance(correct := truth_value(correct), bool):
        raise InvalidInput(
            f"whether solution {name} is correct must be true or false, not {kind_of_value(correct)}", field="correct"
        )
    return Case(name, text, correct)


def _verified(judge: Verifier, line: Line) -> JsonRow:
    try:
        row = line.row()
        cases, truth = cases_of(row), truth_of(row)
        found = judge.verify([case.solution for case in cases], truth)
    except InvalidInput as error:
        return error_row(line, error)
    judged = [
        {
            "name": case.name,
            "correct": case.correct,
            "outcome": one.outcome,
            "found": one.found,
            "reader": one.reader,
            "reason": one.reason,
        }
        for case, one in zip(cases, found, strict=True)
    ]
    return {"line": line.number, "truth": truth.answer, "judged": judged}


def _summarise(path: Path) -> None:
    from stepscore.verify.measure import errors_of

    errors = errors_of((one["correct"], one["outcome"]) for _, one in _judged(path))
    console.show_result(_table(errors))
    disagreed = ((row, one) for row, one in _judged(path) if (one["outcome"] == "right") != one["correct"])
    for row, one in islice(disagreed, SHOWN):
        said = "right" if one["correct"] else "wrong"
        console.info(
            f"line {row['line']} {one['name']}: is {said}, called {one['outcome']}. {one['reason'] or row['truth']}"
        )
    if next(disagreed, None) is not None:
        console.info(f"… the others are in {path}: rows whose correct and outcome differ.")
    summary = {name: {**asdict(rate), "share": rate.share, "interval": rate.interval} for name, rate in _rates(errors)}
    atomic.write_text(path.with_suffix(".summary.json"), json.dumps(summary, indent=1) + "\n")


def _judged(path: Path) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for row in read_rows(path):
        for one in row.get("judged", ()):
            yield row, one


def _rates(errors: Errors) -> Sequence[tuple[str, Rate]]:
    return [(name, getattr(errors, name)) for name in NAMES]


def _table(errors: Errors) -> Table:
    table = Table("solutions", "", "share", "95% interval")
    for name, rate in _rates(errors):
        interval = rate.interval
        bounds = "–" if interval is None else f"{interval[0]:.2%} – {interval[1]:.2%}"
        table.add_row(
            NAMES[name], f"{rate.hits} of {rate.count}", "–" if rate.share is None else f"{rate.share:.2%}", bounds
        )
    return table
