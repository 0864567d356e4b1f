"""`stepscore score`: a file of solutions, offline."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from stepscore_service.commands.flags import MODEL_FLAGS, Columns, with_settings
from stepscore_service.commands.model import opened, options_for
from stepscore_service.jobs.data.items import split_row
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.model import describe, manifest_of
from stepscore_service.jobs.runs.run import journal_for, report, run
from stepscore_service.jobs.runs.source import check_first, open_source
from stepscore_service.jobs.score import score_rows
from stepscore_service.settings import Settings

SHAPE = 'an object like {"problem": "…", "steps": ["…", "…"]} or {"problem": "…", "solution": "…"}'


@with_settings(only=MODEL_FLAGS)
def score(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="solutions: JSONL, a JSON array, CSV or Parquet; - for stdin"),
    ],
    out: Annotated[
        str | None, typer.Option(help="file for the results; default FILE.scored.jsonl; - for stdout")
    ] = None,
    columns: Columns = "",
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
    """Score every solution of a JSONL file.

    Results go to a file beside it, one line for each line, with all columns of the input, so that `show`, `report`,
    `evaluate` and `train` read them. After an interruption, run
    the same command again and it continues. Exit status: 0 all scored, 1 some rows have an "error", 2 nothing could be
    done.
    """
    source = open_source(file, columns=columns)
    check_first(source, lambda row: split_row(row, split), SHAPE)
    with opened(settings) as scorer:
        options = options_for(scorer.info, aggregate, threshold)
        chosen: dict[str, str | float] = {"aggregate": options.aggregate, "threshold": options.threshold}
        manifest = manifest_of("score", scorer.info, settings, source, split=split, slim=slim, **chosen)
        with closing(journal_for(source, out, "scored", manifest)) as journal:
            console.info(f"Scoring with {describe(scorer.info)}")
            errors = run(
                source, journal, lambda lines: score_rows(scorer, lines, split, options, slim=slim), batch_rows
            )
    report(errors, journal)
