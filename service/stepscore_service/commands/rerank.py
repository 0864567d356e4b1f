"""`stepscore rerank`: a file of problems with candidates, offline, and what reranking gains if truth is known."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stepscore_service.commands.flags import with_settings
from stepscore_service.jobs.data.items import split_candidates
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.first_row import check_first
from stepscore_service.jobs.runs.journal import FileJournal, read_rows
from stepscore_service.jobs.runs.model import asked_of, describe, input_facts, manifest_of, options_for, scorer_from
from stepscore_service.jobs.runs.run import find_finished, journal_for, report_results, run
from stepscore_service.jobs.runs.source import ColumnsFlag, open_source
from stepscore_service.jobs.score.rerank import RankSums, RerankTally, rerank_rows
from stepscore_service.settings import MODEL_SETTINGS, Settings

SHAPE = 'an object like {"problem": "…", "candidates": ["…", "…"]}'


@with_settings(only=MODEL_SETTINGS)
def rerank(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="problems: JSONL, a JSON array, CSV or Parquet; - for stdin"),
    ],
    out: Annotated[
        str | None, typer.Option(help="file for the results; default FILE.reranked.jsonl; - for stdout")
    ] = None,
    columns: ColumnsFlag = "",
    split: Annotated[str, typer.Option(help="how a candidate given as text is split into steps")] = "auto",
    aggregate: Annotated[
        str | None, typer.Option(help="which aggregate becomes the score; the model's by default")
    ] = None,
    slim: Annotated[bool, typer.Option("--slim", help="leave the texts of problems and candidates out")] = False,
    batch_rows: Annotated[int, typer.Option(min=1, help="rows scored, written and synced together")] = 4,
    *,
    settings: Settings,
) -> None:
    """Order the candidates of every problem in a file by their score.

    If the rows say which candidates are correct ("correct": [true, false, …], or "answer": the right one), a
    summary compares best-of-N with the mean candidate, with majority and weighted votes and with the upper bound.
    After an interruption, run the same command again and it continues.
    """
    source = open_source(file, columns=columns)
    check_first(source, lambda row: split_candidates(row, split), SHAPE)
    chosen = {"split": split, "slim": slim, "aggregate": aggregate, "vote": "weighted"}
    asked = partial(asked_of, "rerank", settings, source, **chosen)
    if path := find_finished(source, out, "reranked", asked, input_facts("rerank", source, **chosen)):
        _end(path)
        return
    with scorer_from(settings) as scorer:
        options = options_for(scorer.info, aggregate)
        manifest = manifest_of("rerank", scorer.info, settings, source, **{**chosen, "aggregate": options.aggregate})
        with closing(journal_for(source, out, "reranked", manifest, asked())) as journal:
            console.info(f"Reranking with {describe(scorer.info)}")
            rank = partial(rerank_rows, scorer, split=split, options=options, slim=slim)
            errors = run(source, journal, rank, batch_rows)
    if isinstance(journal, FileJournal):
        _end(journal.path)
    else:
        report_results(errors, None)


def _end(path: Path) -> None:
    """What the results say, for people; ends the command with ROWS_FAILED if a row has an error."""
    sums, tally = RankSums(), RerankTally()
    for row in read_rows(path):
        sums.add(row)
        tally.add([row])
    if sums.ranked:
        console.show(overview(sums))
    if tally.rows:
        console.show(summary(tally))
        if tally.best < tally.mean:
            console.info(
                "Worse than chance: the candidate with the highest score is right less often than the mean candidate. "
                "Another --aggregate, or another model, may choose better."
            )
    report_results(sums.errors, path)


def overview(sums: RankSums) -> Table:
    """The numbers, then the problems whose best candidate has the lowest score."""
    failed = f", {sums.errors} with an error" if sums.errors else ""
    title = (
        f"{console.with_count(sums.rows, 'row')}{failed}, {console.with_count(sums.candidates, 'candidate')}, "
        f"{console.with_count(sums.steps, 'step')}; mean score {sums.scores / sums.candidates:.4f}, of the best "
        f"{sums.best_scores / sums.ranked:.4f}"
    )
    table = Table(title=title, title_justify="left", title_style="")
    for column in ("line", "best score"):
        table.add_column(column, justify="right", min_width=len(column))
    table.add_column("weakest problems")
    for score, line, text in sums.weakest:
        table.add_row(str(line), f"{score:.4f}", console.one_line(text, 26))
    return table


def summary(tally: RerankTally) -> Table:
    """What each way of choosing a candidate gets right."""
    n = str(tally.most) if tally.fewest == tally.most else f"{tally.fewest}–{tally.most}"
    table = Table(
        title=f"{console.with_count(tally.rows, 'problem')}, {n} candidate{'' if n == '1' else 's'} each",
        title_justify="left",
    )
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
