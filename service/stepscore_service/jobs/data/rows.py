"""Columns of a row, checked."""

from __future__ import annotations

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs.source import JsonRow


def text_field(row: JsonRow, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        have = ", ".join(row) or "none"
        wrong = f"{name!r} is a {type(value).__name__}, not text" if name in row else f"{name!r} is missing"
        raise InvalidInput(f"{wrong} (columns: {have})", field=name)
    return value
