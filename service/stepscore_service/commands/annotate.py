"""`stepscore annotate`: what people should label, to them and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stepscore.errors import InvalidInput
from stepscore_service.commands.flags import with_settings
from stepscore_service.jobs.label.active import Measure, choose, score_lines, solution_of, uncertainty_of
from stepscore_service.jobs.label.humans import Counts, export_rows, import_rows, with_ask
from stepscore_service.jobs.runs import atomic, console
from stepscore_service.jobs.runs.first_row import check_first
from stepscore_service.jobs.runs.journal import json_line, read_rows
from stepscore_service.jobs.runs.model import describe, manifest_of
from stepscore_service.jobs.runs.progress import with_progress
from stepscore_service.jobs.runs.rewards import rewards_from
from stepscore_service.jobs.runs.run import count_errors, journal_for, report_results, run
from stepscore_service.jobs.runs.source import STDIN, ColumnsFlag, JsonRow, Source, open_source
from stepscore_service.settings import MODEL_SETTINGS, Settings

SOLUTIONS = 'a solution ("problem" with "steps" or "solution") or a row of `stepscore label`'

app = typer.Typer(
    help="Choose steps for people to label; write files for them, and read their labels.", no_args_is_help=True
)

File = Annotated[str, typer.Argument(metavar="FILE.jsonl", help="JSONL")]


@app.command()
@with_settings(only=MODEL_SETTINGS)
def select(
    file: File,
    out: Annotated[Path, typer.Option(help="where the chosen solutions go, with the steps to label")],
    budget: Annotated[int, typer.Option(min=1, help="how many steps people can label")] = 100,
    measure: Annotated[Measure, typer.Option(help="entropy, or margin to the threshold")] = "entropy",
    threshold: Annotated[float | None, typer.Option(help="for --measure margin; default the model's")] = None,
    one_per_solution: Annotated[
        bool, typer.Option("--one-per-solution", help="at most one step of a solution")
    ] = False,
    columns: ColumnsFlag = "",
    split: Annotated[str, typer.Option(help="how a solution given as text is split into steps")] = "auto",
    url: Annotated[str | None, typer.Option(metavar="URL[#MODEL]", help="ask this running service instead")] = None,
    batch_rows: Annotated[int, typer.Option(min=1, help="rows scored, written and synced together")] = 32,
    *,
    settings: Settings,
) -> None:
    """Choose the steps about which a model is least certain.

    The rewards are kept beside --out (.rewards.jsonl): run the same command again after an interruption and it
    continues, and another --budget costs no scoring.
    """
    if threshold is not None and measure != "margin":
        console.fail("--threshold would change nothing: it is for --measure margin.")
    source, kept = _source(file, columns), out.with_suffix(".rewards.jsonl")
    source.refuse_output(out, kept)
    check_first(source, lambda row: solution_of(row, split), SOLUTIONS)
    with rewards_from(settings, url) as rewards:
        limit = rewards.info.threshold if threshold is None else threshold
        try:
            uncertainty = uncertainty_of(measure, rewards.info.reward_range, limit)
        except InvalidInput as error:
            console.fail_with(error)
        manifest = manifest_of("annotate", rewards.info, settings, source, split=split)
        with closing(journal_for(source, str(kept), "rewards", manifest)) as journal:
            console.info(f"Scoring with {describe(rewards.info)}")
            run(source, journal, partial(score_lines, rewards, split), batch_rows)
    scored = ((row["line"], row["rewards"]) for row in read_rows(kept) if "rewards" in row)
    chosen = choose(scored, uncertainty, budget, one_per_solution=one_per_solution)
    lines = (line for line in source.lines() if line.number in chosen)
    _write(out, (with_ask(solution_of(line.row(), split), line.row(), chosen[line.number]) for line in lines))
    console.info(f"{sum(map(len, chosen.values()))} steps of {len(chosen)} solutions: {out}")
    report_results(count_errors(kept), kept)


@app.command("export")
def export_(file: File, out: Annotated[Path, typer.Option(help="where PRM800K's rows go")]) -> None:
    """Write files for people: PRM800K's format, with a null rating for each step to label.

    Soft labels have no place in it; how many were left out is said at the end.
    """
    counts = Counts()
    _convert(file, out, lambda rows: export_rows(rows, counts))
    console.info(f"{counts}: {out}")
    if counts.soft_steps:
        console.info(
            f"Left out: {counts.soft_steps} soft labels of {counts.soft_rows} rows. Ratings are -1, 0 or 1, so these "
            f"steps are written without one and nobody is asked for them; {file} still has them."
        )


@app.command("import")
def import_(
    file: File,
    out: Annotated[Path, typer.Option(help="where TRL's rows go")],
    neutral: Annotated[
        Literal["good", "bad", "null"], typer.Option(help="what the rating 0 is; Qwen: good, TRL: bad, null: no label")
    ],
) -> None:
    """Read labels of people (PRM800K's format, ratings -1, 0, +1 or null) as rows that `stepscore train` takes."""
    counts = Counts()
    _convert(file, out, lambda rows: import_rows(rows, neutral, counts))
    console.info(f"{counts}: {out}")


def _source(file: str, columns: str = "") -> Source:
    if file == STDIN:
        console.fail("this reads its input twice: give a file, not standard input.")
    return open_source(file, columns=columns)


def _convert(file: str, out: Path, convert: Callable[[Iterable[JsonRow]], Iterator[Mapping[str, Any]]]) -> None:
    """A whole file, row by row; ends the command at the first row that cannot be read, with nothing written."""
    source = _source(file)
    source.refuse_output(out)
    at = [0]
    try:
        _write(out, convert(_rows(source, at)))
    except InvalidInput as error:
        reason = error.message if error.message.startswith("line ") else f"line {at[0]}: {error.message}"
        console.fail(f"{file}, {reason} ({error.code}). Nothing was written.")


def _rows(source: Source, at: list[int]) -> Iterator[JsonRow]:
    """Rows, with progress; `at` holds the number of the line in hand."""
    for line in with_progress(source.lines(), "rows", source.total):
        at[0] = line.number
        yield line.row()


def _write(out: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Whole or not at all."""
    if not out.parent.is_dir():
        console.fail(f"there is no folder {out.parent}. Make it, or give another --out.")
    try:
        with atomic.atomic_file(out) as file:
            file.writelines(map(json_line, rows))
    except OSError as error:
        console.fail(f"cannot write {out}: {error.strerror}.")
