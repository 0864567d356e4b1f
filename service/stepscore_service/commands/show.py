"""`stepscore show`: one row in the terminal, its steps coloured by reward."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscore.errors import InvalidInput, StepscoreError
from stepscore_service.batching.encoding import SolutionRequest, split_steps
from stepscore_service.commands.flags import MODEL_FLAGS, Columns, with_settings
from stepscore_service.commands.model import opened, options_for
from stepscore_service.jobs.data.items import candidates_row, request_of
from stepscore_service.jobs.rerank import rerank_rows
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.model import describe
from stepscore_service.jobs.runs.run import is_result
from stepscore_service.jobs.runs.source import STDIN, JsonRow, Line, line_numbered, looks_like_rows
from stepscore_service.jobs.show import print_candidates, print_solution, shown_answer, shown_row
from stepscore_service.serving.scoring import score_offline
from stepscore_service.settings import Settings

EXAMPLE = "stepscore show --problem '2+3?' --step '2+3 = 5' --step 'The answer is 5.'"


@with_settings(only=MODEL_FLAGS)
def show(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="a text, or rows that `score` or `rerank` reads or writes; - for stdin"),
    ] = None,
    problem: Annotated[str | None, typer.Option("--problem", "-p", help="the problem")] = None,
    step: Annotated[list[str] | None, typer.Option("--step", "-s", help="a step; give one for each")] = None,
    solution: Annotated[str | None, typer.Option(help="the solution as one text")] = None,
    line: Annotated[int, typer.Option(min=1, help="which line of a file of rows")] = 1,
    columns: Columns = "",
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
    try:
        row = row if file is None else _read(file, problem, line, columns)
        if not rescore and _show_stored(row):
            return
        request = None if "candidates" in row else request_of(row, split)
        if request is None:
            candidates_row(row)
        _show_scored(row, request, settings, split, aggregate, threshold)
    except InvalidInput as error:
        console.fail(f"{error.message}. For example: {EXAMPLE}" if file is None else f"{file}: {error.message}.")


def _show_stored(row: JsonRow) -> bool:
    """Whether the row was shown as it stands. Raises InvalidInput."""
    if not is_result(row):
        return False
    if isinstance(row.get("error"), dict):
        message = f"line {row['line']} could not be scored: {row['error'].get('message')}"
        raise InvalidInput(f"{message}; --rescore tries again")
    if "results" in row:
        print_candidates(row, console.OUT)
    else:
        print_solution(shown_row(row), console.OUT)
    return True


def _show_scored(
    row: JsonRow,
    request: SolutionRequest | None,
    settings: Settings,
    split: str,
    aggregate: str | None,
    threshold: float | None,
) -> None:
    """request: None for a row with candidates. Raises InvalidInput."""
    steps = None if request is None else split_steps(request).solution
    with opened(settings) as scorer:
        options, by = options_for(scorer.info, aggregate, threshold), describe(scorer.info)
        answer: Any
        if request is None:
            (answer,) = rerank_rows(scorer, [Line(1, json.dumps(row).encode())], split, options)
        else:
            (answer,) = score_offline(scorer, [request], options)
    if steps is None:
        if "error" in answer:
            raise InvalidInput(answer["error"]["message"])
        print_candidates(answer, console.OUT)
        return
    if isinstance(answer, StepscoreError):
        console.fail_with(answer, console.ENGINE_FAILED)
    print_solution(shown_answer(steps, answer, scorer.info.reward_range.kind, by, row.get("labels")), console.OUT)


def _read(file: str, problem: str | None, number: int, columns: str) -> JsonRow:
    """A row of a file, or plain text with the problem from --problem. Raises InvalidInput."""
    if file != STDIN and looks_like_rows(file):
        row = (None if columns else _whole(file)) or line_numbered(file, number, columns).row()
        return row if problem is None else {"problem": problem, **row}
    try:
        text = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        console.fail(f"cannot read {file}: {error}")
    if file == STDIN and text.lstrip().startswith("{"):
        row = _object(text) or Line(number, _line_of(text, number).encode()).row()
        return row if problem is None else {"problem": problem, **row}
    if problem is None:
        raise InvalidInput("this is plain text, so give the problem with --problem", field="problem")
    return {"problem": problem, "solution": text}


def _line_of(text: str, number: int) -> str:
    lines = text.splitlines()
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
