"""Which formats there are, and which one a row is in."""

from __future__ import annotations

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.formats import math_shepherd, prm800k, processbench, rlhflow, trl
from stepscore_service.jobs.data.formats.base import Format, Row

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (trl, prm800k, math_shepherd, rlhflow, processbench)
}
AUTO = "auto"


def format_named(name: str) -> Format:
    """Raises InvalidInput with the names that exist."""
    if name not in FORMATS:
        raise InvalidInput(f"no format is called {name!r}; there are {AUTO}, {', '.join(FORMATS)}", format=name)
    return FORMATS[name]


def format_of(row: Row) -> Format:
    """The format whose columns the row has. Raises InvalidInput with the columns that each format needs."""
    for known in FORMATS.values():
        if all(name in row for name in known.columns):
            return known
    needs = "; ".join(f"{known.name}: {', '.join(known.columns)}" for known in FORMATS.values())
    raise InvalidInput(f"columns {', '.join(row) or 'none'} are of no known format ({needs})")
