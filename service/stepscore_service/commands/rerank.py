"""`stepscore rerank`: a file of problems with candidates, offline, and what reranking gains where truth is known."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table

from stepscore_service.commands.flags import MODEL_FLAGS, with_settings
from stepscore_service.commands.model import aggregate_of, opened
from stepscore_service.commands.ranking import rank
from stepscore_service.jobs.data.items import candidates_of
from stepscore_service.jobs.data.rows import Row, check_first, open_source
from stepscore_service.jobs.runs.console import ERR, note
from stepscore_service.jobs.runs.journal import FileJournal, read_rows
from stepscore_service.jobs.runs.model import described, manifest_of
from stepscore_service.jobs.runs.run import journal_for, report, run
from stepscore_service.settings import Settings

SHAPE = 'an object like {"problem": "…", "candidates": ["…", "…"]}'


@with_settings(only=MODEL_FLAGS)
def rerank(
    file: Annotated[str, typer.Argument(help="JSONL of problems; - for standard input", metavar="FILE.jsonl")],
    out: Annotated[str | None, typer.Option(help="where results go; default FILE.reranked.jsonl; - for stdout")] = None,
    split: Annotated[str, typer.Option(help="how a candidate given as text is split into steps")] = "auto",
    aggregate: Annotated[str | None, typer.Option(help="which aggregate is the score; default the model's")] = None,
    batch_rows: Annotated[int, typer.Option(min=1, help="rows scored, written and synced together")] = 4,
    *,
    settings: Settings,
) -> None:
    """Order the candidates of every problem in a JSONL file by their score.

    Where the rows say which candidates are correct ("correct": [true, false, …], or "answer": the right one), a
    summary compares best-of-N with the mean candidate, with majority and weighted votes and with the upper bound.
    Run the same command again after an interruption and it continues.
    """
    source = open_source(file)
    check_first(source, lambda row: candidates_of(row, split), SHAPE)
    tally = Tally()
    with opened(settings) as scorer:
        name = aggregate_of(scorer.info, aggregate)
        chosen = manifest_of("rerank", scorer.info, settings, source, split=split, aggregate=name)
        with closing(journal_for(source, out, "reranked", chosen)) as journal:
            if isinstance(journal, FileJournal):
                tally.add(read_rows(journal.path))
            note(f"Reranking with {described(scorer.info)}")
            errors = run(source, journal, lambda lines: tally.added(rank(scorer, lines, split, name)), batch_rows)
    if tally.rows:
        ERR.print(tally.table())
    report(errors, journal)


@dataclass
class Tally:
    """Sums over the rows whose candidates are known to be right or wrong. candidates: over all these rows."""

    rows: int = 0
    candidates: int = 0
    fewest: int = 0
    most: int = 0
    mean: float = 0.0
    majority: int = 0
    weighted: int = 0
    best: int = 0
    any: int = 0

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if "error" not in row and "correct" in row:
                self._count(row["correct"], row)

    def added(self, rows: list[Row]) -> list[Row]:
        self.add(rows)
        return rows

    def _count(self, correct: list[bool], row: Row) -> None:
        n = len(correct)
        self.fewest = min(self.fewest or n, n)
        self.most = max(self.most, n)
        self.rows += 1
        self.candidates += n
        self.mean += sum(correct) / n
        self.majority += correct[row["votes"]["majority"]]
        self.weighted += correct[row["votes"]["weighted"]]
        self.best += correct[row["best"]]
        self.any += any(correct)

    def table(self) -> Table:
        n = str(self.most) if self.fewest == self.most else f"{self.fewest}–{self.most}"
        table = Table(title=f"{self.rows} problems, {n} candidates each", title_justify="left")
        table.add_column("chosen by")
        table.add_column("correct", justify="right")
        for label, count in (
            ("chance (mean candidate)", self.mean),
            ("majority vote", self.majority),
            ("weighted vote", self.weighted),
            (f"score (best of {n})", self.best),
            (f"an oracle (pass@{n})", self.any),
        ):
            table.add_row(label, f"{count / self.rows:.1%}")
        return table
