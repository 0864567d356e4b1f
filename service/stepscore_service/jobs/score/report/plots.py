"""Plots as SVG in the page's own colours, which follow the reader's light or dark setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 52
TICKS = 5

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axes:
    """The ranges of the numbers and what they are. counts: whether x counts something, so that its ticks are whole."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    counts: bool = False

    def x_ticks(self) -> Sequence[float]:
        low, high = self.x
        if not self.counts:
            return [low + number / TICKS * (high - low) for number in range(TICKS + 1)]
        first, last = math.ceil(low), math.floor(high)
        return range(first, last + 1, math.ceil((last - first) / TICKS / 2) or 1)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """In pixels."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = LEFT + (x - x0) / ((x1 - x0) or 1) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (y - y0) / ((y1 - y0) or 1) * (HEIGHT - TOP - BOTTOM)


def histogram(series: Mapping[str, Sequence[float]], edges: Sequence[float], axes_label: str) -> str:
    """How many numbers lie between two edges, in percent of each series; the bars of several are side by side."""
    shares = {name: _shares(numbers, edges) for name, numbers in series.items()}
    highest = max((share for each in shares.values() for share in each), default=1.0)
    top = max(5.0, 5.0 * math.ceil(highest / 5))
    axes = Axes((edges[0], edges[-1]), (0.0, top), axes_label, "% of solutions")
    parts = []
    for number, each in enumerate(shares.values()):
        for place, share in enumerate(each):
            part = (edges[place + 1] - edges[place]) / len(shares)
            left, upper = axes.place(edges[place] + number * part, share)
            right, bottom = axes.place(edges[place] + (number + 1) * part, 0)
            box = (
                f'x="{left:.1f}" y="{upper:.1f}" width="{max(right - left - 1, 0.5):.1f}" height="{bottom - upper:.1f}"'
            )
            parts.append(f'<rect class="s{number}" {box}><title>{share:.1f}%</title></rect>')
    return _svg(axes, parts, list(series))


def lines(series: Mapping[str, Points], axes: Axes) -> str:
    """Numbers that depend on another, joined."""
    parts = []
    for number, points in enumerate(series.values()):
        placed = [axes.place(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline class="s{number}" points="{path}"/>')
        for (x, y_), point in zip(placed, points, strict=True):
            title = f"<title>{point[0]:g}: {point[1]:.4f}</title>"
            parts.append(f'<circle class="s{number}" cx="{x:.1f}" cy="{y_:.1f}" r="3.5">{title}</circle>')
    return _svg(axes, parts, list(series))


def _shares(numbers: Sequence[float], edges: Sequence[float]) -> list[float]:
    """In percent; a number at the last edge is in the last bin."""
    counts = [0] * (len(edges) - 1)
    for number in numbers:
        share = (number - edges[0]) / ((edges[-1] - edges[0]) or 1)
        counts[min(int(share * len(counts)), len(counts) - 1)] += 1
    return [100 * count / len(numbers) for count in counts] if numbers else [0.0] * len(counts)


def _svg(axes: Axes, parts: Sequence[str], names: Sequence[str]) -> str:
    middle = (LEFT + WIDTH - RIGHT) / 2
    labels = (
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(axes.x_label)}</text>'
        f'<text transform="translate(16 {HEIGHT / 2 - 20}) rotate(-90)" text-anchor="middle">'
        f"{escape(axes.y_label)}</text>"
    )
    key = "".join(
        f'<span><i class="s{number}"></i>{escape(name)}</span>' for number, name in enumerate(names) if len(names) > 1
    )
    drawn = "".join((*_ticks(axes), *parts, labels))
    legend = f'<p class="key">{key}</p>' if key else ""
    return f'{legend}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{drawn}</svg>'


def _ticks(axes: Axes) -> list[str]:
    found = []
    for x in axes.x_ticks():
        across, _ = axes.place(x, axes.y[0])
        found.append(f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{x:.3g}</text>')
    for number in range(TICKS + 1):
        y = axes.y[0] + number / TICKS * (axes.y[1] - axes.y[0])
        _, up = axes.place(axes.x[0], y)
        found.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up:.1f}" y2="{up:.1f}"/>')
        found.append(f'<text x="{LEFT - 6}" y="{up + 5:.1f}" text-anchor="end">{y:.3g}</text>')
    return found
