"""The report of an evaluation on disk: metrics.json, calibration.json, plots/, report.md, report.html."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from rich.table import Table as Shown

from stepscore_service.jobs.evaluate.report.parts import DARK, LIGHT, Palette, Plot, Section, Tile
from stepscore_service.jobs.evaluate.suites.base import Measured
from stepscore_service.jobs.evaluate.suites.registry import SUITES, sections_of
from stepscore_service.jobs.runs import atomic

METRICS = "metrics.json"

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


def write_report(measured: Measured, out: Path) -> None:
    """measured: what `metrics.json` holds; the rest is made from it alone."""
    atomic.write_text(out / METRICS, json.dumps(measured, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    for name, calibration in calibrations(measured).items():
        atomic.write_text(out / name, json.dumps(calibration, indent=1) + "\n")
    found = sections_of(measured["suites"])
    drawings = {plot.name: draw_plot(plot) for section in found for plot in section.plots}
    _write_plots(drawings, out / "plots")
    context = {"measured": measured, "sections": found, "tiles": tiles(found), "drawings": drawings, "suites": SUITES}
    atomic.write_text(out / "report.md", _environment().get_template("report.md.j2").render(context))
    atomic.write_text(out / "report.html", _environment().get_template("report.html.j2").render(context))


def tiles(found: Sequence[Section]) -> list[Tile]:
    return [tile for section in found for tile in section.tiles]


def calibrations(measured: Measured) -> dict[str, Measured]:
    """By file name, what `stepscore serve --calibration` reads; one for each file of labelled steps that allows it.

    None if the rewards were scaled already: a second temperature on top would fit nothing that is served.
    """
    if "calibration" in (measured["model"] or {}):
        return {}
    files = measured["suites"].get("steps", {})
    fitted = {name: (found["calibration"] or {}).get("fitted") for name, found in files.items()}
    known = {name: fit for name, fit in fitted.items() if fit is not None}
    model = measured["model"] or {}
    return {
        "calibration.json" if len(known) == 1 else f"calibration-{name}.json": {
            **fit,
            "model": model.get("id"),
            "family": model.get("family"),
            "revision": model.get("revision", ""),
            "fitted_on": name,
            "steps": files[name]["labelled_steps"],
        }
        for name, fit in known.items()
    }


def summary(measured: Measured) -> Shown:
    """The first numbers, for the terminal."""
    table = Shown(title="Evaluation", title_justify="left")
    for column, side in (("", "left"), ("value", "right"), ("", "left")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for tile in tiles(sections_of(measured["suites"])):
        table.add_row(tile.label, tile.number, tile.detail)
    return table


def _write_plots(drawings: Mapping[str, Drawing], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, drawing in drawings.items():
        atomic.write_bytes(folder / f"{name}.png", drawing.png)
        atomic.write_bytes(folder / f"{name}.svg", drawing.light)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("stepscore_service.jobs.evaluate.report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["address"] = _address
    found.filters["coded"] = _as_code
    found.filters["line"] = lambda value: " ".join(str(value).split())
    found.filters["cell"] = lambda value: str(value).replace("|", "\\|")
    return found


def _address(svg: bytes) -> str:
    """The plot as an address that holds it, so that the page needs no other file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _as_code(text: str) -> Markup:
    """Text between backticks, as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


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
