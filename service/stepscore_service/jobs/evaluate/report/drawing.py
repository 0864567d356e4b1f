"""Plots as files: PNG and SVG, in light colours for documents and in both for the page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from stepscore_service.jobs.evaluate.report.parts import DARK, LIGHT, Palette, Plot

PIXELS_PER_INCH = 160
STYLE: Mapping[Any, Any] = MappingProxyType(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "stepscore",
        "font.family": "sans-serif",
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
    }
)
"""Text stays text in an SVG, and the same numbers give the same bytes."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot as bytes of files. light, dark: SVG without a background, for pages of either kind."""

    png: bytes
    light: bytes
    dark: bytes


def draw_plot(plot: Plot) -> Drawing:
    return Drawing(_bytes_of(plot, LIGHT, "png"), _bytes_of(plot, LIGHT, "svg"), _bytes_of(plot, DARK, "svg"))


def _bytes_of(plot: Plot, palette: Palette, kind: str) -> bytes:
    with mpl.rc_context({**STYLE, **_colours(palette)}):
        figure = Figure(figsize=plot.size, layout="constrained")
        plot.draw(figure.subplots(), palette)
        held = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(held, format=kind, dpi=PIXELS_PER_INCH, transparent=kind == "svg", metadata=metadata)
    return held.getvalue()


def _colours(palette: Palette) -> dict[Any, Any]:
    keys = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {**dict.fromkeys(keys, palette.text), "grid.color": palette.grid, "figure.facecolor": palette.background}
