"""What every suite has: rows in, questions to the model, rows of results out, numbers from those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from stepscore.errors import NoSteps, StepscoreError
from stepscore.types import PROBABILITY, RewardRange, Solution
from stepscore_service.jobs.runs.rewards import Scored, ScoredOrError
from stepscore_service.jobs.runs.run import error_cell
from stepscore_service.jobs.runs.source import JsonRow

Measured = dict[str, Any]
"""JSON: numbers, texts, None, and lists and objects of those."""

IDS = ("id", "idx", "generator")
"""Columns that a result row repeats."""


@dataclass(frozen=True, slots=True)
class RewardFacts:
    """What the numbers depend on besides the rewards. threshold, aggregate: the model's own. family: "" if unknown."""

    range: RewardRange = PROBABILITY
    threshold: float = 0.5
    aggregate: str = "min"
    family: str = ""


@dataclass(frozen=True, slots=True)
class MissedSolution:
    """A solution that shows a miss. place: of it in what `Suite.solutions` gives. marks: words beside steps."""

    place: int
    rewards: Sequence[float]
    marks: Mapping[int, str]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Miss:
    """What a model got wrong in a row. severity: by how much, comparable within a suite. what: in words."""

    severity: float
    what: str
    solutions: tuple[MissedSolution, ...]


class Suite(Protocol):
    """One kind of labelled data."""

    kind: ClassVar[str]
    shape: ClassVar[str]
    """What a row looks like, for error messages."""

    def ask(self, row: JsonRow) -> list[Solution]:
        """The solutions that the model must read for this row. Raises InvalidInput for a row that cannot be used."""
        ...

    def keep(self, row: JsonRow, answers: Sequence[ScoredOrError]) -> JsonRow:
        """What is written down of the row and the answers to `ask`, enough for `measure`."""
        ...

    def measure(self, files: Mapping[str, Iterable[JsonRow]], model: RewardFacts) -> Measured:
        """The numbers, from the kept rows of each file by name, read as often as needed. Rows with "error" are void."""
        ...

    def miss(self, row: JsonRow, measured: Measured, model: RewardFacts) -> Miss | None:
        """What the model got wrong in a kept row, if it did. measured: what `measure` gives."""
        ...

    def solutions(self, row: JsonRow) -> Sequence[Solution | None]:
        """The texts of an input row that can be shown. Raises InvalidInput."""
        ...


def ids(row: JsonRow) -> JsonRow:
    return {name: row[name] for name in IDS if name in row}


def rewards_of(answer: ScoredOrError) -> JsonRow:
    """The rewards, or why there are none."""
    if isinstance(answer, StepscoreError):
        return {"rewards": None, "unscorable": error_cell(answer)}
    return {"rewards": list(answer.reading.rewards)}


def numbers_of(answer: ScoredOrError) -> list[float] | None:
    return list(answer.reading.rewards) if isinstance(answer, Scored) else None


def texts(found: list[str], name: str) -> tuple[str, ...]:
    """Raises NoSteps if there are none."""
    if not found:
        raise NoSteps(f"{name!r} is empty", field=name)
    return tuple(found)


def usable(rows: Iterable[JsonRow]) -> Iterable[JsonRow]:
    """The rows that hold results."""
    return (row for row in rows if "error" not in row)
