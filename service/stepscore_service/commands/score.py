"""`stepscore score`: a file of solutions, offline."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stepscore_service.commands.flags import with_settings
from stepscore_service.jobs.data.items import split_row
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.first_row import check_first
from stepscore_service.jobs.runs.journal import FileJournal, read_rows
from stepscore_service.jobs.runs.model import asked_of, describe, input_facts, manifest_of, options_for, scorer_from
from stepscore_service.jobs.runs.run import find_finished, journal_for, report_results, run
from stepscore_service.jobs.runs.source import ColumnsFlag, open_source
from stepscore_service.jobs.score.rows import ScoreTally, score_rows
from stepscore_service.settings import MODEL_SETTINGS, Settings

SHAPE = 'an object like {"problem": "…", "steps": ["…", "…"]} or {"problem": "…", "solution": "…"}'


@with_settings(only=MODEL_SETTINGS)
def score(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="solutions: JSONL, a JSON array, CSV or Parquet; - for stdin"),
    ],
    out: Annotated[
        str | None, typer.Option(help="file for the results; default FILE.scored.jsonl; - for stdout")
    ] = None,
    columns: ColumnsFlag = "",
    split: Annotated[str, typer.Option(help="how a solution given as text is split into steps")] = "auto",
    aggregate: Annotated[
        str | None, typer.Option(help="which aggregate becomes the score; the model's by default")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="a step with a reward below it is an error; the model's by default")
    ] = None,
    slim: Annotated[bool, typer.Option("--slim", help="leave the texts of problems and solutions out")] = False,
    batch_rows: Annotated[int, typer.Option(min=1, help="rows scored, written and synced together")] = 32,
    *,
    settings: Settings,
) -> None:
    """Score every solution of a file.

    Results go to a file beside it, one line for each line, with all columns of the input, so that `show`, `report`,
    `evaluate` and `train` read them. After an interruption, run the same command again and it continues. Exit status:
    0 all scored, 1 some rows have an "error", 2 nothing could be done, 3 the model failed on the way, 130 interrupted.
    """
    source = open_source(file, columns=columns)
    check_first(source, lambda row: split_row(row, split), SHAPE)
    chosen = {"split": split, "slim": slim, "aggregate": aggregate, "threshold": threshold}
    asked = partial(asked_of, "score", settings, source, **chosen)
    if path := find_finished(source, out, "scored", asked, input_facts("score", source, **chosen)):
        _end(path)
        return
    with scorer_from(settings) as scorer:
        options = options_for(scorer.info, aggregate, threshold)
        settled = {"aggregate": options.aggregate, "threshold": options.threshold}
        manifest = manifest_of("score", scorer.info, settings, source, **{**chosen, **settled})
        with closing(journal_for(source, out, "scored", manifest, asked())) as journal:
            console.info(f"Scoring with {describe(scorer.info)}")
            score_chunk = partial(score_rows, scorer, split=split, options=options, slim=slim)
            errors = run(source, journal, score_chunk, batch_rows)
    if isinstance(journal, FileJournal):
        _end(journal.path)
    else:
        report_results(errors, None)


def _end(path: Path) -> None:
    """What the results say, for people; ends the command with ROWS_FAILED if a row has an error."""
    tally = ScoreTally()
    for row in read_rows(path):
        tally.add(row)
    if tally.scored:
        console.show(summary(tally))
        _warn_of_chance(tally)
    report_results(tally.errors, path)


def summary(tally: ScoreTally) -> Table:
    """The numbers, then the rows with the lowest scores and the step of each that is to blame."""
    failed = f", {tally.errors} with an error" if tally.errors else ""
    share = tally.with_first_error / tally.scored
    title = (
        f"{console.with_count(tally.rows, 'row')}{failed}, {console.with_count(tally.steps, 'step')}; mean score "
        f"{tally.total / tally.scored:.4f}; {share:.1%} have a first error"
    )
    table = Table(title=title, title_justify="left", title_style="", caption_justify="left")
    for column in ("line", "score", "step"):
        table.add_column(column, justify="right", min_width=6)
    table.add_column("weakest step of the weakest rows")
    for weak in tally.weakest:
        name = f"{weak.id}: " if weak.id else ""
        table.add_row(str(weak.line), f"{weak.score:.4f}", str(weak.step), console.one_line(name + weak.text, 32))
    return table


def _warn_of_chance(tally: ScoreTally) -> None:
    separation = tally.outcome_auroc()
    if separation is not None and separation < 0.5:
        console.info(
            f"Worse than chance: of a right and a wrong solution, the right one has the higher score in "
            f"{separation:.1%} of the pairs ({len(tally.judged)} rows say which are right). Another --aggregate, or "
            "another model, may choose better."
        )
