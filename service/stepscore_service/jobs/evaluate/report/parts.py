"""What a report is made of, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of a plot. series: distinguishable for people with any colour vision (Okabe and Ito)."""

    text: str
    grid: str
    background: str
    series: tuple[str, ...]


LIGHT = Palette("#1f2933", "#d9dee3", "#ffffff", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"))
DARK = Palette("#e4e7eb", "#3a4552", "#12181f", ("#56b4e9", "#f08a4b", "#3cc9a0", "#e39cc6", "#f2b93b", "#9fd3f5"))


@dataclass(frozen=True, slots=True)
class Plot:
    """name: of its files. size: inches. draw: onto axes, in the colours of a palette."""

    name: str
    caption: str
    draw: Callable[[Axes, Palette], None]
    size: tuple[float, float] = (6.4, 3.6)


@dataclass(frozen=True, slots=True)
class Table:
    """The first column names the row; all others hold numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """One number to see first."""

    label: str
    number: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One suite in the report."""

    title: str
    lead: str
    tiles: Sequence[Tile] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f}"


def decimals(value: float | None, places: int = 3) -> str:
    return NOTHING if value is None else f"{round(value, places) + 0.0:.{places}f}"


def with_bounds(estimate: Mapping[str, Any], show: Callable[[float | None], str] = percent) -> str:
    """`77.6 (74.9–80.2)`, or without bounds if there are none."""
    return f"{show(estimate['value'])}{bounds(estimate, show)}"


def bounds(estimate: Mapping[str, Any], show: Callable[[float | None], str] = percent) -> str:
    return "" if estimate["low"] is None else f" ({show(estimate['low'])} to {show(estimate['high'])})"


def reasons(unscorable: Mapping[str, int]) -> str:
    """How many solutions had no rewards, and why."""
    if not unscorable:
        return "0"
    return f"{sum(unscorable.values())} ({', '.join(f'{count} {code}' for code, count in unscorable.items())})"
