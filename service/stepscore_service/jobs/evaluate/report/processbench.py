"""ProcessBench in the report."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from stepscore_service.jobs.evaluate.report.parts import (
    Palette,
    Plot,
    Section,
    Table,
    Tile,
    bounds,
    decimals,
    percent,
    reasons,
    with_bounds,
)
from stepscore_service.jobs.evaluate.report.published import PROCESSBENCH
from stepscore_service.jobs.evaluate.suites.base import Measured

COLUMNS = ("split", "solutions", "with error", "unscorable", "accuracy, error", "accuracy, correct", "F1 (95%)")


def sections(measured: Measured) -> list[Section]:
    """Nothing if no row of any file can be used."""
    splits = {name: split for name, split in measured["splits"].items() if split["solutions"]}
    return [_section({**measured, "splits": splits})] if splits else []


def _section(measured: Measured) -> Section:
    splits: dict[str, Measured] = measured["splits"]
    return Section(
        title="ProcessBench: finding the first wrong step",
        lead=_lead(measured),
        tiles=[_tile(measured)],
        tables=[_table(splits), *_comparison(splits, measured["mean_f1"]), _best(splits)],
        plots=[
            Plot(
                "processbench-f1",
                "Accuracy on solutions with and without an error, and their F1.",
                partial(_bars, splits),
            ),
            Plot(
                "processbench-threshold",
                "F1 at every threshold; the line marks the one that was used.",
                partial(_curves, splits, measured["threshold"]),
            ),
        ],
    )


def _lead(measured: Measured) -> str:
    tuned = measured["tuned_on"]
    how = f"tuned on {tuned}, whose own F1 is therefore too good" if tuned else "not tuned on this data"
    return (
        f"The first step with a reward under {measured['threshold']:.4g} ({how}) is called the first error; none means "
        "that the solution is called correct. F1 is the harmonic mean of the accuracies on solutions with and without "
        "an error. A solution that could not be scored counts as wrong."
    )


def _tile(measured: Measured) -> Tile:
    splits = measured["splits"]
    if len(splits) > 1:
        solutions = sum(split["solutions"] for split in splits.values())
        return Tile(
            "ProcessBench F1", percent(measured["mean_f1"]), f"mean of {len(splits)} files, {solutions} solutions"
        )
    name, split = next(iter(splits.items()))
    detail = f"{name}, {split['solutions']} solutions{bounds(split['f1'])}"
    return Tile("ProcessBench F1", percent(split["f1"]["value"]), detail)


def _table(splits: dict[str, Measured]) -> Table:
    rows = [
        (
            name,
            str(split["solutions"]),
            str(split["with_error"]),
            reasons(split["unscorable"]),
            percent(split["error_accuracy"]),
            percent(split["correct_accuracy"]),
            with_bounds(split["f1"]),
        )
        for name, split in splits.items()
    ]
    return Table(COLUMNS, rows, "Intervals: percentile bootstrap over solutions, 1,000 rounds.")


def _best(splits: dict[str, Measured]) -> Table:
    rows = [(name, decimals(split["best_threshold"], 4), percent(split["best_f1"])) for name, split in splits.items()]
    note = "The best F1 that any threshold gives on this very data: an upper bound, not a result."
    return Table(("split", "best threshold", "F1 there"), rows, note)


def _comparison(splits: dict[str, Measured], mean: float | None) -> list[Table]:
    """Published numbers, for the splits that bear a published split's name."""
    known = [name for name in splits if any(name in f1s for f1s in PROCESSBENCH.values())]
    if not known:
        return []
    ours = ("this model", *(percent(splits[name]["f1"]["value"]) for name in known))
    rows = [ours] + [(model, *(f"{f1s[name]:.1f}" for name in known)) for model, f1s in PROCESSBENCH.items()]
    return [Table(("F1", *known), rows, "Others: as published for the whole split (arXiv 2501.07301).")]


def _bars(splits: dict[str, Measured], axes: Axes, palette: Palette) -> None:
    places = np.arange(len(splits))
    for number, (key, label) in enumerate(
        (("error_accuracy", "accuracy, with error"), ("correct_accuracy", "accuracy, correct"))
    ):
        heights = [100 * (split[key] or 0) for split in splits.values()]
        axes.bar(places + (number - 1) * 0.26, heights, 0.24, color=palette.series[number], label=label)
    f1s = [split["f1"] for split in splits.values()]
    axes.bar(places + 0.26, [100 * (f1["value"] or 0) for f1 in f1s], 0.24, color=palette.series[2], label="F1")
    axes.errorbar(places + 0.26, *_whiskers(f1s), fmt="none", ecolor=palette.text, capsize=3, linewidth=1)
    axes.set_xticks(places, [f"{name}\n{split['solutions']} solutions" for name, split in splits.items()])
    axes.set_xlim(-0.8, len(splits) - 0.2)
    axes.set_ylim(0, 100)
    axes.set_ylabel("%")
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _whiskers(estimates: list[dict[str, Any]]) -> tuple[list[float], list[list[float]]]:
    """(heights, [down, up]) in percent; nothing if a number has no interval."""
    heights = [100.0 * (each["value"] or 0.0) for each in estimates]
    down = [
        100.0 * ((each["value"] or 0.0) - (each["low"] or 0.0)) if each["low"] is not None else 0.0
        for each in estimates
    ]
    up = [100.0 * ((each["high"] or 0.0) - (each["value"] or 0.0)) if each["high"] else 0.0 for each in estimates]
    return heights, [[max(each, 0.0) for each in down], [max(each, 0.0) for each in up]]


def _curves(splits: dict[str, Measured], threshold: float, axes: Axes, palette: Palette) -> None:
    for number, (name, split) in enumerate(splits.items()):
        curve = split["curve"]
        colour = palette.series[number % len(palette.series)]
        axes.plot(curve["thresholds"], [100 * f1 for f1 in curve["f1"]], color=colour, label=name)
    axes.axvline(threshold, color=palette.text, linestyle=":", linewidth=1)
    axes.set_xlabel("threshold")
    axes.set_ylabel("F1, %")
    axes.set_ylim(0, 100)
    axes.legend(loc="lower center")
