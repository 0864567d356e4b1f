"""Plots as files: PNG and SVG, in light colours for documents and in both for the page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from stepscore_service.jobs.evaluate.report.parts import LIGHT, Palette, Plot

PIXELS_PER_INCH = 160
STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "stepscore",
        "font.family": "sans-serif",
        "font.size": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
    }
)
"""Text stays text in an SVG, and the same numbers give the same bytes."""


def png(plot: Plot) -> bytes:
    return _saved(plot, LIGHT, "png")


def svg(plot: Plot, palette: Palette = LIGHT) -> str:
    """Without a background, so that it lies on any page of the palette's kind."""
    return _saved(plot, palette, "svg").decode()


def _saved(plot: Plot, palette: Palette, kind: str) -> bytes:
    with mpl.rc_context({**STYLE, **_colours(palette)}):
        figure = Figure(figsize=plot.size, layout="constrained")
        plot.draw(figure.subplots(), palette)
        held = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(held, format=kind, dpi=PIXELS_PER_INCH, transparent=kind == "svg", metadata=metadata)
    return held.getvalue()


def _colours(palette: Palette) -> dict[str, str]:
    keys = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {**dict.fromkeys(keys, palette.text), "grid.color": palette.grid, "figure.facecolor": palette.background}
