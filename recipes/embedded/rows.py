"""GSM8K's worked solutions and their corruptions as files that `stepscore train` and `stepscore evaluate` read.

    python -m recipes.embedded.rows --gsm8k train.jsonl --part measure --out steps.jsonl
    python -m recipes.embedded.rows --gsm8k train.jsonl --shape processbench --out bench.jsonl

`steps`: every worked solution, and for each mistake that can be made in it the solution up to the wrong step; rows of
TRL, in which only the last step of a corrupted one is judged, so that no step is counted twice. `processbench`: every
worked solution once as it is and once with one mistake, after which it continues as before; rows of ProcessBench.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from recipes.embedded.corrupt import Corrupted, corruptions
from recipes.embedded.gsm8k import Worked, read_worked, styled
from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled, to_row

HELD_OUT = 500
"""The last problems of the training file are kept out of training, for calibration and measurement."""

Row = dict[str, Any]


class Part(StrEnum):
    """Which problems: those of training, or of the held-out ones the even (calibrate) or the odd (measure)."""

    TRAIN = "train"
    CALIBRATE = "calibrate"
    MEASURE = "measure"


class Shape(StrEnum):
    STEPS = "steps"
    PROCESSBENCH = "processbench"


def problems_of(gsm8k: Path, part: Part) -> list[Worked]:
    every = list(read_worked(gsm8k))
    if part is Part.TRAIN:
        return every[:-HELD_OUT]
    return every[-HELD_OUT:][part is Part.MEASURE :: 2]


def more_of(part: Part, count: int) -> list[Worked]:
    """Generated problems; every part has a seed of its own."""
    from recipes.embedded.generated import generated  # needs the extra `dev`

    return list(generated(count, seed=list(Part).index(part)))


def step_rows(problems: Sequence[Worked], mistakes: int = 0, first: int = 0) -> Iterator[Row]:
    """TRL rows; `kind` names the mistake, or "clean". A problem's number fixes its style and its mistakes.

    mistakes: at most so many for each problem, drawn at random; 0 takes all. first: the number of the first problem.
    """
    for number, problem in enumerate(problems, first):
        rng = random.Random(number)
        worked = styled(problem, rng)
        sound = tuple(1.0 for _ in worked.steps)
        yield to_row(Labelled(worked.solution, sound, True, {"id": f"{number}", "kind": "clean"}))
        found = list(corruptions(worked, rng))
        for wrong in rng.sample(found, mistakes) if 0 < mistakes < len(found) else found:
            labels = (*(None for _ in wrong.solution.steps[1:]), 0.0)
            yield to_row(Labelled(wrong.solution, labels, None, {"id": f"{number}", "kind": wrong.kind}))


def processbench_rows(problems: list[Worked]) -> Iterator[Row]:
    for number, problem in enumerate(problems):
        rng = random.Random(number)
        worked = styled(problem, rng)
        yield _bench_row(f"{number}-clean", worked.solution, -1, "clean")
        mistakes = list(corruptions(worked, rng))
        if mistakes:
            wrong = rng.choice(mistakes)
            place = len(wrong.solution.steps) - 1
            yield _bench_row(f"{number}-wrong", _continued(worked, wrong), place, wrong.kind)


def _continued(worked: Worked, wrong: Corrupted) -> Solution:
    place = len(wrong.solution.steps)
    return Solution(worked.problem, wrong.solution.steps + worked.solution.steps[place:])


def _bench_row(name: str, solution: Solution, label: int, kind: str) -> Row:
    return {
        "id": name,
        "generator": kind,
        "problem": solution.problem,
        "steps": list(solution.steps),
        "final_answer_correct": label < 0,
        "label": label,
    }


def main(
    gsm8k: Annotated[Path, typer.Option(help="GSM8K's train.jsonl", exists=True)],
    out: Annotated[Path, typer.Option(help="JSONL file")],
    part: Annotated[Part, typer.Option(help="which problems")] = Part.MEASURE,
    shape: Annotated[Shape, typer.Option(help="which rows")] = Shape.STEPS,
    problems: Annotated[int, typer.Option(min=0, help="only those before this one; 0 takes all")] = 0,
    first: Annotated[int, typer.Option(min=0, help="the number of the first one")] = 0,
    mistakes: Annotated[int, typer.Option(min=0, help="at most so many for each problem; 0 takes all")] = 0,
    generated: Annotated[int, typer.Option(min=0, help="so many of reasoning-gym's problems behind them")] = 0,
) -> None:
    """Write labelled rows of GSM8K and its corruptions."""
    worked = problems_of(gsm8k, part)[first : problems or None]
    chosen = [*worked, *(more_of(part, generated) if generated else ())]
    rows = list(step_rows(chosen, mistakes, first) if shape is Shape.STEPS else processbench_rows(chosen))
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    typer.echo(f"{out}: {len(rows)} rows of {len(chosen)} problems")


if __name__ == "__main__":
    typer.run(main)
