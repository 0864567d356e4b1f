"""The first row of a file, before a model is opened: whether a command can use it, and what to do if not."""

from __future__ import annotations

import re
from collections.abc import Callable

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.source import STDIN, JsonRow, Line, Source

_MISSING = re.compile(r"'(\w+)' is missing \(|one is missing \(")


def check_first(source: Source, check: Callable[[JsonRow], object], shape: str) -> None:
    """End the command before a model is loaded if the very first row of a file cannot be used.

    Rows that an earlier command could not score say nothing of the file; the first of the others counts.
    """
    if source.path == STDIN:
        return
    for line in source.lines():
        try:
            row = line.row()
            if "line" in row and isinstance(row.get("error"), dict):
                continue
            check(row)
        except InvalidInput as error:
            reason = error.message if error.message.startswith("line ") else f"line {line.number}: {error.message}"
            hint = _hint(source, line, reason)
            console.fail(f"{source.path}, {reason.rstrip('.')}. {hint}Each line is {shape}; see docs/formats.md.")
        return


def _hint(source: Source, line: Line, reason: str) -> str:
    """What to do about the first row. reason: what is wrong with it."""
    if shape := _shape_hint(source, line):
        return shape
    if missing := _MISSING.search(reason):
        name = missing[1] or "solution"
        return f"If the file has another name for it: --columns {name}=NAME. "
    return ""


def _shape_hint(source: Source, line: Line) -> str:
    """What to do with a file that is one object and not a row, such as a log; "" for every other."""
    columns = line.columns() if source.total == 1 else {}
    lists = [
        name for name, value in columns.items() if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    if lists:
        return f"The file is one object; its rows may lie in {lists[0]!r}: jq -c '.[\"{lists[0]}\"][]' FILE. "
    if len(columns) > 1 and all(isinstance(value, dict) and "0" in value for value in columns.values()):
        return "The file holds columns, not rows: pandas writes rows with to_json(orient='records', lines=True). "
    return ""
