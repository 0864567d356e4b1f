"""Which formats there are, and which one a row is in."""

from __future__ import annotations

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.formats import math_shepherd, prm800k, processbench, reranked, rlhflow, scored, trl
from stepscore_service.jobs.data.formats.base import Format
from stepscore_service.jobs.runs.source import JsonRow

FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        *(trl.FORMAT, trl.STEPS, prm800k.FORMAT, math_shepherd.FORMAT, rlhflow.FORMAT, processbench.FORMAT),
        *(reranked.FORMAT, scored.FORMAT),
    )
}
AUTO = "auto"


def format_named(name: str) -> Format:
    """Raises InvalidInput with the names that exist."""
    if name not in FORMATS:
        raise InvalidInput(f"no format is called {name!r}; there are {AUTO}, {', '.join(FORMATS)}", format=name)
    return FORMATS[name]


def format_of(row: JsonRow) -> Format:
    """The format whose columns the row has.

    Raises InvalidInput with the columns that each format needs, or if the row has labels of people and rewards of a
    model, between which the caller must choose.
    """
    if known := [each for each in FORMATS.values() if all(name in row for name in each.columns)]:
        if len(known) > 1 and scored.FORMAT in known:
            names = " or ".join(f"--format {each.name}" for each in known)
            raise InvalidInput(f"the row has labels and rewards, either of which can be learnt from: give {names}")
        return known[0]
    needs = "; ".join(f"{each.name}: {', '.join(each.columns)}" for each in FORMATS.values())
    raise InvalidInput(f"columns {', '.join(row) or 'none'} are of no known format ({needs})")
