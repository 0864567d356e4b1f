"""`stepscore show`: one solution in the terminal, its steps coloured by reward."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stepscore.errors import InvalidInput, StepscoreError
from stepscore.types import RewardRange
from stepscore_service.batching.encoding import SolutionRequest, split_steps
from stepscore_service.commands.flags import MODEL_FLAGS, with_settings
from stepscore_service.commands.model import opened, options_for
from stepscore_service.jobs.data.items import request_of
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.model import describe
from stepscore_service.jobs.runs.source import STDIN, JsonRow, Line
from stepscore_service.schemas.score import ScoreAnswer
from stepscore_service.serving.scoring import score_offline
from stepscore_service.settings import Settings

BAR = 10
EXAMPLE = "stepscore show --problem 'How much is 2+3?' --step '2+3 = 6' --step 'The answer is 6.'"


@with_settings(only=MODEL_FLAGS)
def show(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="the solution as text, or a JSON object as for `score`; - for stdin"),
    ] = None,
    problem: Annotated[str | None, typer.Option("--problem", "-p", help="the problem")] = None,
    step: Annotated[list[str] | None, typer.Option("--step", "-s", help="a step; give one for each")] = None,
    solution: Annotated[str | None, typer.Option(help="the solution as one text")] = None,
    line: Annotated[int, typer.Option(min=1, help="which line of a JSONL file")] = 1,
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
    """Score one solution and show its steps, coloured by reward, with the weakest step and the first error marked."""
    given = {"steps": step, "solution": solution}
    row = {"problem": problem, **{key: value for key, value in given.items() if value}}
    try:
        request = request_of(row, split) if file is None else _read(file, problem, line, split)
        steps = split_steps(request).solution.steps
    except InvalidInput as error:
        console.fail(
            f"{error.message}. For example: stepscore show --problem '2+3?' --step '2+3 = 5' --step 'The answer is 5.'"
        )
    with opened(settings) as scorer:
        info, options = scorer.info, options_for(scorer.info, aggregate, threshold)
        answer = score_offline(scorer, [request], options)[0]
        if isinstance(answer, StepscoreError):
            console.fail_with(answer, console.ENGINE_FAILED)
    _print(request.problem, steps, answer, info.reward_range)
    console.OUT.print(Text(f"score {answer.score:.4f} ({answer.aggregate}) · {describe(info)}", style="dim"))


def _read(file: str, problem: str | None, number: int, split: str) -> SolutionRequest:
    """A JSON or JSONL file of rows as `score` takes them, or plain text with the problem from --problem."""
    try:
        text = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        console.fail(f"cannot read {file}: {error}")
    row = _row(text, number)
    if row is not None:
        return request_of({**row, "problem": row.get("problem", problem)}, split)
    if problem is None:
        raise InvalidInput(f"{file} is plain text, so give the problem with --problem", field="problem")
    return SolutionRequest(problem, text, split)


def _row(text: str, number: int) -> JsonRow | None:
    """The row of a JSON object or of the given line of JSONL; None if the text is neither."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        whole = json.loads(text)
        return whole if isinstance(whole, dict) else None
    except ValueError:  # more than one object: JSONL
        lines = text.splitlines()
        if number > len(lines):
            console.fail(f"the file has {len(lines)} lines, so there is no line {number}")
        return Line(number, lines[number - 1].encode()).row()


def _print(problem: str, steps: Sequence[str], answer: ScoreAnswer, range_: RewardRange) -> None:
    console.OUT.print(Padding(Text(problem, style="bold"), (0, 0, 1, 0)))
    table = Table.grid(padding=(0, 1))
    for index, (text, reward) in enumerate(zip(steps, answer.rewards, strict=True)):
        marks = [
            mark for mark, at in (("weakest", answer.weakest_step), ("first error", answer.first_error)) if at == index
        ]
        share = _share(reward, range_)
        colour = _colour(share)
        table.add_row(
            Text(str(index), style="dim"),
            Text(f"{reward:.4f}", style=colour),
            Text(("█" * round(share * BAR)).ljust(BAR, "░"), style=colour),
            Text(text, style=colour).append(f"  ← {', '.join(marks)}" if marks else "", style="bold red"),
        )
    console.OUT.print(Padding(table, (0, 0, 1, 0)))


def _share(reward: float, range_: RewardRange) -> float:
    """A reward on a scale from bad (0) to good (1): itself for a probability, otherwise squashed around 0."""
    return reward if range_.kind == "probability" else 0.5 + 0.5 * math.tanh(reward / 2)


def _colour(share: float) -> str:
    """From red through yellow to green."""
    return f"rgb({round(235 * min(1.0, 2 - 2 * share))},{round(190 * min(1.0, 2 * share))},60)"
