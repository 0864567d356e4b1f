"""PRMBench in the report."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.axes import Axes

from stepscore_service.jobs.evaluate.report.parts import (
    Palette,
    Plot,
    Section,
    Table,
    Tile,
    bounds,
    percent,
    reasons,
    with_bounds,
)
from stepscore_service.jobs.evaluate.report.published import PRMBENCH
from stepscore_service.jobs.evaluate.suites.base import Measured
from stepscore_service.jobs.metrics.prm_score import GROUPS

WHOLE = 6216
"""Items of the published benchmark."""


def sections(measured: Measured) -> list[Section]:
    """Nothing if no row of any file can be used."""
    files = {name: found for name, found in measured["files"].items() if found["items"]}
    return [_section(files, measured["rule"])] if files else []


def _section(files: dict[str, Measured], rule: Measured) -> Section:
    name, first = next(iter(files.items()))
    detail = f"{name}, {first['items']} items{bounds(first['prm_score'])}"
    return Section(
        title="PRMBench: kinds of errors",
        lead=_lead(rule),
        tiles=[Tile("PRM-Score", percent(first["prm_score"]["value"]), detail)],
        tables=[_overall(files), _classes(files), _more(files)],
        plots=[Plot("prmbench-classes", "PRM-Score of each class, by group.", partial(_bars, files), (6.8, 3.6))],
    )


def _lead(rule: Measured) -> str:
    what = "the change of the reward from the step before" if rule["by_change"] else "the reward"
    return (
        f"A step is called valid if {what} is over {rule['threshold']:g}. PRM-Score is the mean of the F1 of valid and "
        "of invalid steps, pooled over all items; in MS, in which every step is valid, it is the F1 of valid steps."
    )


def _overall(files: dict[str, Measured]) -> Table:
    rows = [
        (name, str(found["items"]), reasons(found["unscorable"]), with_bounds(found["prm_score"]))
        for name, found in files.items()
    ]
    rows += [(model, str(WHOLE), "", f"{score:.1f}") for model, score in PRMBENCH.items()]
    note = "Items without rewards are left out, as the benchmark does. Named models: as published (arXiv 2501.03124)."
    return Table(("", "items", "unscorable", "PRM-Score (95%)"), rows, note)


def _groups(files: dict[str, Measured]) -> dict[str, dict[str, str]]:
    """The groups with their classes by short name, without the classes of which no file has an item."""
    measured = {each for found in files.values() for each, score in found["classes"].items() if score is not None}
    groups = {
        group: {short: each for short, each in members.items() if each in measured} for group, members in GROUPS.items()
    }
    return {group: members for group, members in groups.items() if members}


def _classes(files: dict[str, Measured]) -> Table:
    groups = _groups(files)
    columns = [column for group, members in groups.items() for column in (*members, group)]
    rows = []
    for name, found in files.items():
        numbers = [
            percent(score)
            for group, members in groups.items()
            for score in (*(found["classes"][each] for each in members.values()), found["groups"][group])
        ]
        rows.append((name, *numbers))
    names = "; ".join(f"{short} {long}" for members in groups.values() for short, long in members.items())
    return Table(("", *columns), rows, f"{names}. A group is the mean of its classes.")


def _more(files: dict[str, Measured]) -> Table:
    keys = ("f1", "f1_invalid", "valid_step_accuracy", "invalid_step_accuracy", "first_error_accuracy", "similarity")
    rows = [(name, *(percent(found[key]) for key in keys)) for name, found in files.items()]
    note = "Similarity: how far the share of steps called valid lies from that in the sound solution of the problem."
    return Table(("", *(key.replace("_", " ") for key in keys)), rows, note)


def _bars(files: dict[str, Measured], axes: Axes, palette: Palette) -> None:
    shorts = [
        (short, name, group)
        for group, (_, members) in enumerate(_groups(files).items())
        for short, name in members.items()
    ]
    places, width = np.arange(len(shorts)), 0.8 / len(files)
    for number, (name, found) in enumerate(files.items()):
        heights = [100 * (found["classes"][each] or 0) for _, each, _ in shorts]
        colours = [palette.series[group] for _, _, group in shorts]
        offset = (number - (len(files) - 1) / 2) * width
        axes.bar(places + offset, heights, width * 0.92, color=colours, alpha=1 - 0.25 * (number % 4), label=name)
    axes.set_xticks(places, [short for short, _, _ in shorts])
    axes.set_ylim(0, 100)
    axes.set_ylabel("PRM-Score, %")
    if len(files) > 1:
        axes.legend(loc="lower right")
    for number, group in enumerate(_groups(files)):
        middle = float(np.mean([place for place, (_, _, at) in zip(places, shorts, strict=True) if at == number]))
        axes.text(middle, 101, group, ha="center", color=palette.series[number], fontsize="small")
