"""What a format is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.runs.source import JsonRow, kind_of_value


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """How what a format leaves open is read. zero_is_good: PRM800K's rating 0 ("neutral") counts as a sound step."""

    zero_is_good: bool = True


@dataclass(frozen=True, slots=True)
class Format:
    """columns: a row of this format has all of them. solutions: the labelled solutions of a row; raises InvalidInput.

    source: where the format is described.
    """

    name: str
    columns: tuple[str, ...]
    source: str
    solutions: Callable[[JsonRow, ParseOptions], Iterable[Labelled]]


def column(row: JsonRow, name: str, kind: type[Any]) -> Any:
    """The column's value. Raises InvalidInput if it is missing or of another kind."""
    if name not in row:
        raise InvalidInput(f"{name!r} is missing (columns: {', '.join(row) or 'none'})", field=name)
    value = row[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        wanted = "a whole number" if kind is int else kind_of_value(kind())
        raise InvalidInput(f"{name!r} is {kind_of_value(value)}, not {wanted}", field=name)
    return value


def texts(row: JsonRow, name: str) -> list[str]:
    """A column that is a list of texts, at least one. Raises InvalidInput."""
    found: list[Any] = column(row, name, list)
    if not found or not all(isinstance(text, str) for text in found):
        raise InvalidInput(f"{name!r} must be a list of texts, and not empty", field=name)
    return found
