"""`stepscore show`: one row in the terminal, its steps coloured by reward."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscore.errors import InvalidInput, StepscoreError
from stepscore.text.segment import split_steps
from stepscore_service.commands.flags import given_flags, with_settings
from stepscore_service.jobs.data.items import candidates_row, request_of
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.model import describe, options_for, scorer_from
from stepscore_service.jobs.runs.run import is_result
from stepscore_service.jobs.runs.source import (
    STDIN,
    ColumnsFlag,
    JsonRow,
    Line,
    line_numbered,
    looks_like_rows,
    names_of,
)
from stepscore_service.jobs.score.rerank import rerank_rows
from stepscore_service.jobs.score.show import print_candidates, print_solution, shown_answer, shown_row
from stepscore_service.serving.scoring import score_offline
from stepscore_service.settings import MODEL_SETTINGS, Settings

EXAMPLE = "stepscore show --problem '2+3?' --step '2+3 = 5' --step 'The answer is 5.'"


FOR_FILES = frozenset({"line", "columns", "rescore"})
WHY_FILE = "there is no file"
FOR_ARGUMENTS = frozenset({"step", "solution"})
WHY_ARGUMENTS = "the solution comes from the file"
FOR_STORED = frozenset({"line", "columns", "problem", "log_format"})
WHY_STORED = "the row holds its rewards, which are shown as they are; --rescore scores it again"
"""Which flags have no effect when; of a row with rewards, which have one."""


@with_settings(only=MODEL_SETTINGS)
def show(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="a text, or rows that `score` or `rerank` reads or writes; - for stdin"),
    ] = None,
    problem: Annotated[str | None, typer.Option("--problem", "-p", help="the problem")] = None,
    step: Annotated[list[str] | None, typer.Option("--step", "-s", help="a step; give one for each")] = None,
    solution: Annotated[str | None, typer.Option(help="the solution as one text")] = None,
    line: Annotated[int, typer.Option(min=1, help="which line of a file of rows")] = 1,
    columns: ColumnsFlag = "",
    rescore: Annotated[bool, typer.Option("--rescore", help="score rows that hold rewards again")] = False,
    split: Annotated[str, typer.Option(help="how text is split into steps")] = "auto",
    aggregate: Annotated[
        str | None, typer.Option(help="which aggregate becomes the score; the model's by default")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="a step with a reward below it is an error; the model's by default")
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Show one solution, its steps coloured by reward, with the weakest step and the first error marked.

    Rows with candidates are shown side by side, grouped by answer. Rows that hold rewards already are shown as they
    are, without a model.
    """
    given = {"problem": problem, "steps": step or None, "solution": solution}
    row: JsonRow = {name: value for name, value in given.items() if value is not None}
    flags = given_flags(context)
    _refuse_useless(flags, FOR_FILES if file is None else FOR_ARGUMENTS, WHY_FILE if file is None else WHY_ARGUMENTS)
    try:
        row = row if file is None else _read(file, line, columns, flags, problem)
        if not rescore and holds_rewards(row):
            _refuse_useless(flags, flags.keys() - FOR_STORED, WHY_STORED)
            _show_stored(row)
            return
        _show_scored(row, settings, split, aggregate, threshold)
    except InvalidInput as error:
        reason = error.message.rstrip(".")
        console.fail(f"{reason}. For example: {EXAMPLE}" if file is None else f"{file}: {reason}.")


def holds_rewards(row: JsonRow) -> bool:
    """Whether there is something to show without a model, or nothing but an error."""
    return is_result(row) or "rewards" in row or "results" in row


def has_candidates(row: JsonRow) -> bool:
    """Whether several solutions are meant. A row of `stepscore search` holds one, and how many candidates it had."""
    return "candidates" in row and not isinstance(row["candidates"], int)


def _refuse_useless(given: Mapping[str, str], useless: Iterable[str], why: str) -> None:
    """Ends the command if a flag was given that would change nothing."""
    if found := [flag for name, flag in given.items() if name in set(useless)]:
        console.fail(f"{', '.join(found)} would change nothing: {why}.")


def _show_stored(row: JsonRow) -> None:
    """The row as it is. Raises InvalidInput."""
    if isinstance(row.get("error"), dict):
        message = f"line {row.get('line', '?')} could not be scored: {row['error'].get('message')}"
        raise InvalidInput(f"{message}; --rescore tries again")
    if console.speaks_json():
        console.write_json(row)
        return
    try:
        if "results" in row:
            print_candidates(row, console.OUT)
        else:
            print_solution(shown_row(row), console.OUT)
    except InvalidInput as error:
        raise InvalidInput(f"{error.message}; --rescore scores the row again", **error.detail) from error


def _show_scored(
    row: JsonRow,
    settings: Settings,
    split: str,
    aggregate: str | None,
    threshold: float | None,
) -> None:
    """Raises InvalidInput, for most rows before the model is opened."""
    request = None if has_candidates(row) else request_of(row, split)
    if request is None:
        candidates_row(row)
    steps = None if request is None else split_steps(request).solution
    with scorer_from(settings) as scorer:
        options, by = options_for(scorer.info, aggregate, threshold), describe(scorer.info)
        answer: Any
        if request is None:
            (answer,) = rerank_rows(scorer, [Line(1, json.dumps(row).encode())], split, options)
        else:
            (answer,) = score_offline(scorer, [request], options)
    if request is None and "error" in answer:
        raise InvalidInput(answer["error"]["message"])
    if isinstance(answer, StepscoreError):
        console.fail_with(answer, console.ENGINE_FAILED)
    if console.speaks_json():
        console.write_json(answer if steps is None else {**row, "steps": steps.steps, **answer.model_dump()})
    elif steps is None:
        print_candidates(answer, console.OUT)
    else:
        print_solution(shown_answer(steps, answer, scorer.info.reward_range.kind, by, row.get("labels")), console.OUT)


def _read(file: str, number: int, columns: str, given: Mapping[str, str], problem: str | None) -> JsonRow:
    """A row of a file, or plain text with the problem from --problem. Raises InvalidInput.

    given: the flags of the command line, of which those that would change nothing end the command.
    """
    if file != STDIN and looks_like_rows(file):
        row = (None if columns else _whole(file)) or line_numbered(file, number, columns).row()
        return _with_problem(row, problem, given)
    try:
        text = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        console.fail(f"cannot read {file}: {error}")
    if file == STDIN and text.lstrip().startswith("{"):
        row = _object(text) or Line(number, _line_of(text, number).encode(), names_of(columns)).row()
        return _with_problem(row, problem, given)
    _refuse_useless(given, ("line", "columns"), "this is plain text, not rows")
    if problem is None:
        raise InvalidInput("this is plain text, so give the problem with --problem", field="problem")
    return {"problem": problem, "solution": text}


def _with_problem(row: JsonRow, problem: str | None, given: Mapping[str, str]) -> JsonRow:
    """The row, whose problem may be missing and given by --problem."""
    if "problem" in row or "prompt" in row:
        _refuse_useless(given, ("problem",), "the row has a problem")
    return row if problem is None else {"problem": problem, **row}


def _line_of(text: str, number: int) -> str:
    lines = text.removesuffix("\n").split("\n")
    if number > len(lines):
        raise InvalidInput(f"there are {len(lines)} lines, so there is no line {number}")
    return lines[number - 1]


def _whole(file: str) -> JsonRow | None:
    """The row of a file that is one JSON object over several lines."""
    with suppress(OSError, UnicodeDecodeError):
        return _object(Path(file).read_text(encoding="utf-8"))
    return None


def _object(text: str) -> JsonRow | None:
    with suppress(ValueError, RecursionError):  # more than one object: JSONL
        whole = json.loads(text) if text.lstrip().startswith("{") else None
        return Line(1, text.encode("utf-8", "surrogatepass")).row() if isinstance(whole, dict) else None
    return None
