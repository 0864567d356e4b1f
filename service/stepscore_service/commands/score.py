"""`stepscore score`: a file of solutions, offline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from stepscore.aggregate import aggregate, aggregate_all, first_error, weakest_step
from stepscore.errors import StepscoreError
from stepscore.types import Reading
from stepscore_service.commands.flags import MODEL_FLAGS, with_settings
from stepscore_service.commands.model import aggregate_of, opened
from stepscore_service.jobs.data.items import Item, item_of
from stepscore_service.jobs.data.rows import Line, Row, check_first, open_source
from stepscore_service.jobs.runs.console import note
from stepscore_service.jobs.runs.model import described, manifest_of
from stepscore_service.jobs.runs.run import error_row, journal_for, kept, report, run
from stepscore_service.settings import Settings

if TYPE_CHECKING:
    from stepscore.scoring import Scoring


SHAPE = 'an object like {"problem": "…", "steps": ["…", "…"]} or {"problem": "…", "solution": "…"}'


@with_settings(only=MODEL_FLAGS)
def score(
    file: Annotated[str, typer.Argument(help="JSONL of solutions; - for standard input", metavar="FILE.jsonl")],
    out: Annotated[str | None, typer.Option(help="where results go; default FILE.scored.jsonl; - for stdout")] = None,
    split: Annotated[str, typer.Option(help="how a solution given as text is split into steps")] = "auto",
    aggregate: Annotated[str | None, typer.Option(help="which aggregate is the score; default the model's")] = None,
    threshold: Annotated[float | None, typer.Option(help="rewards under it are errors; default the model's")] = None,
    batch_rows: Annotated[int, typer.Option(min=1, help="rows scored, written and synced together")] = 32,
    *,
    settings: Settings,
) -> None:
    """Score every solution of a JSONL file.

    Results go beside it, one line per line, with every other column kept. Run the same command again after an
    interruption and it continues. Exit status: 0 all scored, 1 some rows have an "error", 2 nothing could be done.
    """
    source = open_source(file)
    check_first(source, lambda row: item_of(row, split), SHAPE)
    with opened(settings) as scorer:
        name = aggregate_of(scorer.info, aggregate)
        limit = scorer.info.threshold if threshold is None else threshold
        chosen = manifest_of("score", scorer.info, settings, source, split=split, aggregate=name, threshold=limit)
        with closing(journal_for(source, out, "scored", chosen)) as journal:
            note(f"Scoring with {described(scorer.info)}")
            errors = run(source, journal, lambda lines: _score(scorer, lines, split, name, limit), batch_rows)
    report(errors, journal)


def _score(scorer: Scoring, lines: Sequence[Line], how: str, name: str, threshold: float) -> list[Row]:
    items = [_item(line, how) for line in lines]
    readings = iter(scorer.score([item.solution for item in items if isinstance(item, Item)]))
    rows = []
    for line, item in zip(lines, items, strict=True):
        reading = next(readings) if isinstance(item, Item) else item
        if isinstance(reading, StepscoreError):
            rows.append(error_row(line, reading))
        elif isinstance(item, Item):
            rows.append(_result(scorer, line, item, reading, name, threshold))
    return rows


def _item(line: Line, how: str) -> Item | StepscoreError:
    try:
        return item_of(line.row(), how)
    except StepscoreError as error:
        return error


def _result(scorer: Scoring, line: Line, item: Item, reading: Reading, name: str, threshold: float) -> Row:
    info, rewards = scorer.info, reading.rewards
    spans = {} if item.spans is None else {"spans": item.spans}
    return {
        **kept(line.row()),
        "line": line.number,
        "rewards": rewards,
        "score": aggregate(rewards, name, info.reward_range),
        "aggregate": name,
        "aggregates": aggregate_all(rewards, info.reward_range),
        "weakest_step": weakest_step(rewards),
        "first_error": first_error(rewards, threshold),
        **spans,
        "model": info.id,
        "revision": info.revision,
    }
