"""`stepscore rerank`: a file of problems with candidates, offline, and what reranking gains if truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Annotated

import typer
from rich.table import Table

from stepscore_service.commands.flags import MODEL_FLAGS, Columns, with_settings
from stepscore_service.commands.model import opened, options_for
from stepscore_service.jobs.data.items import split_candidates
from stepscore_service.jobs.rerank import RerankTally, rerank_rows
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.journal import FileJournal, read_rows
from stepscore_service.jobs.runs.model import describe, manifest_of
from stepscore_service.jobs.runs.run import journal_for, report, run
from stepscore_service.jobs.runs.source import JsonRow, Line, check_first, open_source
from stepscore_service.settings import Settings

SHAPE = 'an object like {"problem": "…", "candidates": ["…", "…"]}'


@with_settings(only=MODEL_FLAGS)
def rerank(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="problems: JSONL, a JSON array, CSV or Parquet; - for stdin"),
    ],
    out: Annotated[
        str | None, typer.Option(help="file for the results; default FILE.reranked.jsonl; - for stdout")
    ] = None,
    columns: Columns = "",
    split: Annotated[str, typer.Option(help="how a candidate given as text is split into steps")] = "auto",
    aggregate: Annotated[
        str | None, typer.Option(help="which aggregate becomes the score; the model's by default")
    ] = None,
    slim: Annotated[bool, typer.Option("--slim", help="leave the texts of problems and candidates out")] = False,
    batch_rows: Annotated[int, typer.Option(min=1, help="rows scored, written and synced together")] = 4,
    *,
    settings: Settings,
) -> None:
    """Order the candidates of every problem in a JSONL file by their score.

    If the rows say which candidates are correct ("correct": [true, false, …], or "answer": the right one), a
    summary compares best-of-N with the mean candidate, with majority and weighted votes and with the upper bound.
    After an interruption, run the same command again and it continues.
    """
    source = open_source(file, columns=columns)
    check_first(source, lambda row: split_candidates(row, split), SHAPE)
    tally = RerankTally()
    with opened(settings) as scorer:
        options = options_for(scorer.info, aggregate)
        chosen: dict[str, str | float] = {"split": split, "aggregate": options.aggregate, "vote": "weighted"}
        manifest = manifest_of("rerank", scorer.info, settings, source, slim=slim, **chosen)

        def rank(lines: Sequence[Line]) -> list[JsonRow]:
            rows = rerank_rows(scorer, lines, split, options, slim=slim)
            tally.add(rows)
            return rows

        with closing(journal_for(source, out, "reranked", manifest)) as journal:
            if isinstance(journal, FileJournal):
                tally.add(read_rows(journal.path))
            console.info(f"Reranking with {describe(scorer.info)}")
            errors = run(source, journal, rank, batch_rows)
    if tally.rows:
        console.ERR.print(summary(tally))
    report(errors, journal)


def summary(tally: RerankTally) -> Table:
    """What each way of choosing a candidate gets right."""
    n = str(tally.most) if tally.fewest == tally.most else f"{tally.fewest}–{tally.most}"
    table = Table(title=f"{tally.rows} problems, {n} candidates each", title_justify="left")
    table.add_column("chosen by")
    table.add_column("correct", justify="right")
    for label, count in (
        ("chance (mean candidate)", tally.mean),
        ("majority vote", tally.majority),
        ("weighted vote", tally.weighted),
        (f"score (best of {n})", tally.best),
        (f"an oracle (pass@{n})", tally.any),
    ):
        table.add_row(label, f"{count / tally.rows:.1%}")
    return table
