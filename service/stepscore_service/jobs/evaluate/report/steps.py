"""Labelled steps in the report."""

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
from stepscore_service.jobs.evaluate.suites.base import Measured


def sections(measured: Measured) -> list[Section]:
    return [_section(name, found) for name, found in measured.items() if found["labelled_steps"]]


def _section(name: str, found: Measured) -> Section:
    lead = (
        f"{found['solutions']} solutions with {found['labelled_steps']} labelled steps, {found['wrong_steps']} of them "
        f"wrong; {reasons(found['unscorable'])} solutions could not be scored. Scores are by {found['aggregate']}."
    )
    tables = [_auroc(found), *_calibration(found), *_outcome(found), *_length(found), *_probes(found)]
    detail = f"{name}, {found['labelled_steps']} steps{bounds(found['auroc'], decimals)}"
    tile = Tile("step AUROC", decimals(found["auroc"]["value"]), detail)
    return Section(f"Labelled steps: {name}", lead, [tile, *_tiles(found)], tables, _plots(name, found))


def _tiles(found: Measured) -> list[Tile]:
    calibration = found["calibration"]
    if not calibration:
        return []
    fitted = calibration["fitted"]
    detail = "" if fitted is None else f"T = {fitted['temperature']:.3g} fitted"
    return [Tile("calibration error", percent(calibration["before"]["ece"]), f"ECE, %; {detail}".strip("; "))]


def _plots(name: str, found: Measured) -> list[Plot]:
    plots = []
    if found["calibration"]:
        caption = "Reliability: the mean label of steps in each tenth of the reward; the size shows how many steps."
        plots.append(
            Plot(f"steps-{name}-reliability", caption, partial(_reliability, found["calibration"]), (4.6, 4.2))
        )
    caption = "Mean reward of sound steps by their place in the solution (in tenths)."
    plots.append(Plot(f"steps-{name}-position", caption, partial(_position, found["position"])))
    if found["probes"]:
        caption = "Share of solutions whose score rises when an empty step is added, with 95% intervals."
        plots.append(Plot(f"steps-{name}-probes", caption, partial(_probe_bars, found["probes"]), (5.2, 2.6)))
    return plots


def _auroc(found: Measured) -> Table:
    rows = [
        ("all labelled steps", with_bounds(found["auroc"], decimals)),
        ("steps up to the first wrong one", with_bounds(found["auroc_until_first_error"], decimals)),
    ]
    return Table(("steps", "AUROC (95%)"), rows, "Sound against wrong steps. Intervals: bootstrap over solutions.")


def _calibration(found: Measured) -> list[Table]:
    calibration = found["calibration"]
    if not calibration:
        return []
    rows = [("as they are", *_distances(calibration["before"]))]
    if calibration["after"]:
        rows.append(("scaled (cross-fitted)", *_distances(calibration["after"])))
    fitted = calibration["fitted"]
    note = "No temperature is fitted: labels are of one kind, or rewards order steps no better than chance."
    if fitted:
        note = (
            f"Fitted on all steps: T = {fitted['temperature']:.4g}, bias {fitted['bias']:.4g}, in calibration.json; "
            "`stepscore serve --calibration calibration.json` applies it. Cross-fitted: each half of the solutions is "
            "scaled by the fit on the other."
        )
    return [Table(("rewards", "ECE, %", "Brier", "log loss, nats"), rows, note)]


def _distances(distances: Measured) -> tuple[str, str, str]:
    return percent(distances["ece"]), decimals(distances["brier"], 4), decimals(distances["log_loss"], 4)


def _outcome(found: Measured) -> list[Table]:
    outcome = found["outcome"]
    if not outcome:
        return []
    rows = [(name, with_bounds(auroc, decimals)) for name, auroc in outcome["auroc"].items()]
    note = f"{outcome['right']} of {outcome['known']} final answers are right. Does the score of the process agree?"
    return [Table(("aggregate", "AUROC against the outcome (95%)"), rows, note)]


def _length(found: Measured) -> list[Table]:
    """Without the correlations that do not exist, because one of the two numbers never changes."""
    known = {f"score and {name}": both for name, both in found["length"].items()}
    known["reward of sound steps and their place"] = found["position"]
    rows = [(name, *_both(both)) for name, both in known.items() if both["pearson"] is not None]
    note = "Far from 0: the score pays for length or place instead of soundness."
    return [Table(("correlation", "Pearson", "Spearman"), rows, note)] if rows else []


def _both(found: Measured) -> tuple[str, str]:
    return decimals(found["pearson"]), decimals(found["spearman"])


PROBES = {"repeat": "a step repeated", "filler": "an announcement inserted", "claim": "praise of itself at the end"}


def _probes(found: Measured) -> list[Table]:
    if not found["probes"]:
        return []
    rows = [
        (
            PROBES[name],
            with_bounds(probe["risen"]),
            with_bounds(probe["mean_change"], decimals),
            decimals(probe["mean_reward_of_added_step"]),
        )
        for name, probe in found["probes"].items()
    ]
    columns = ("added step", "score rises, % of solutions (95%)", "mean change (95%)", "mean reward of the added step")
    return [Table(columns, rows, "A score that rises when nothing is said can be hacked by a policy.")]


def _reliability(calibration: Measured, axes: Axes, palette: Palette) -> None:
    axes.plot([0, 1], [0, 1], color=palette.grid, linewidth=1.5)
    for number, (key, label) in enumerate((("before", "as they are"), ("after", "scaled"))):
        if calibration[key]:
            bins = calibration[key]["bins"]
            x, y = [each["probability"] for each in bins], [each["label"] for each in bins]
            counts = np.array([each["count"] for each in bins])
            colour = palette.series[number]
            axes.plot(x, y, color=colour, linewidth=1.2, label=label)
            axes.scatter(x, y, s=12 + 160 * counts / counts.max(), color=colour, alpha=0.75, linewidth=0)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("reward")
    axes.set_ylabel("mean label")
    axes.legend(loc="upper left")


def _position(position: Measured, axes: Axes, palette: Palette) -> None:
    means: list[Any] = position["mean_reward_by_tenth"]
    known = [(place + 0.5, mean) for place, mean in enumerate(means) if mean is not None]
    axes.plot([10 * place for place, _ in known], [mean for _, mean in known], "o-", ms=4, color=palette.series[0])
    axes.set_xlabel("place in the solution, %")
    axes.set_ylabel("mean reward")
    axes.set_xlim(0, 100)


def _probe_bars(probes: Measured, axes: Axes, palette: Palette) -> None:
    for place, probe in enumerate(probes.values()):
        risen = probe["risen"]
        axes.barh(place, 100 * risen["value"], 0.6, color=palette.series[1])
        axes.plot([100 * risen["low"], 100 * risen["high"]], [place, place], color=palette.text, linewidth=1.2)
    axes.set_yticks(range(len(probes)), [PROBES[name] for name in probes])
    axes.set_xlim(0, 100)
    axes.set_xlabel("score rises, % of solutions")
