"""Best-of-n in the report."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes

from stepscore_service.jobs.evaluate.report.parts import (
    NOTHING,
    Palette,
    Plot,
    Section,
    Table,
    Tile,
    bounds,
    decimals,
    percent,
    with_bounds,
)
from stepscore_service.jobs.evaluate.suites.base import Measured
from stepscore_service.jobs.evaluate.suites.choosing import BEST, CHANCE, MAJORITY, ORACLE, ORM, WEIGHTED

LABELS = {
    CHANCE: "chance (mean candidate)",
    MAJORITY: "majority vote",
    ORACLE: "pass@n (an oracle)",
    ORM: "outcome model",
}


def sections(measured: Measured) -> list[Section]:
    return [_section(name, found) for name, found in measured.items() if found["problems"]]


def _section(name: str, found: Measured) -> Section:
    n, own = found["n"][-1], BEST + found["aggregate"]
    reached = found["curves"][own][-1]
    lead = (
        f"{found['problems']} problems, {found['candidates']} candidates ({found['unscorable']} could not be scored: "
        "the last choice). Each number is the expected share of problems answered right when choosing among n "
        "candidates, over all subsets of that size; equals are chosen among at random."
    )
    tile = Tile(
        f"best of {n}",
        percent(reached["value"]),
        f"{name}, {found['problems']} problems, {_label(own)}{bounds(reached)}",
    )
    gain = found["gain_over_majority"][own]
    return Section(
        title=f"Best of n: {name}",
        lead=lead,
        tiles=[tile, Tile("over majority vote", _with_sign(gain["value"]), f"points{bounds(gain, _with_sign)}")],
        tables=[_ways(found), _curve_table(found)],
        plots=[
            Plot(f"best-of-n-{name}", "Accuracy over n; the bands are 95% intervals.", partial(_curves, found, own)),
            Plot(
                f"best-of-n-{name}-ways",
                f"All ways to choose at n = {n}, with 95% intervals.",
                partial(_dots, found),
                (6.4, 0.26 * len(found["curves"]) + 0.9),
            ),
        ],
    )


def _label(name: str) -> str:
    if name.startswith(BEST):
        return f"best by {name.removeprefix(BEST)}"
    return f"weighted vote by {name.removeprefix(WEIGHTED)}" if name.startswith(WEIGHTED) else LABELS[name]


def _with_sign(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:+.1f}".replace("+0.0", "0.0")


def _ways(found: Measured) -> Table:
    n, rows = found["n"][-1], []
    for name, curve in _order(found):
        auroc = found["solution_auroc"].get(name.removeprefix(BEST))
        shown = with_bounds(auroc, decimals) if auroc else ""
        rows.append(
            (_label(name), with_bounds(curve[-1]), with_bounds(found["gain_over_majority"][name], _with_sign), shown)
        )
    columns = ("chosen by", f"right at n = {n}, % (95%)", "over majority vote, points (95%)", "solution AUROC (95%)")
    return Table(
        columns, rows, "Intervals: percentile bootstrap over problems; gains are paired. AUROC is over all candidates."
    )


def _order(found: Measured) -> list[tuple[str, list[Measured]]]:
    return sorted(found["curves"].items(), key=lambda item: -item[1][-1]["value"])


def _curve_table(found: Measured) -> Table:
    ways = [each for each in found["curves"] if each.startswith(BEST)]
    shown = [CHANCE, MAJORITY, *ways, *([ORM] if ORM in found["curves"] else []), ORACLE]
    rows = [(_label(name), *(percent(point["value"]) for point in found["curves"][name])) for name in shown]
    return Table(
        ("n", *map(str, found["n"])),
        rows,
        f"The model's own aggregate is {found['aggregate']}; another one picked on this data flatters.",
    )


def _curves(found: Measured, own: str, axes: Axes, palette: Palette) -> None:
    shown = [ORACLE, own, WEIGHTED + own.removeprefix(BEST), MAJORITY, ORM, CHANCE]
    for number, name in enumerate(each for each in shown if each in found["curves"]):
        curve, colour = found["curves"][name], palette.series[number]
        axes.plot(found["n"], [100 * point["value"] for point in curve], "o-", ms=3.5, color=colour, label=_label(name))
        if name not in (own, MAJORITY):
            continue
        low, high = ([100 * point[key] for point in curve] for key in ("low", "high"))
        axes.fill_between(found["n"], low, high, color=colour, alpha=0.12, linewidth=0)
    if found["n"][-1] > 8:
        axes.set_xscale("log", base=2)
    axes.set_xticks(found["n"], map(str, found["n"]))
    axes.minorticks_off()
    axes.set_xlabel("n")
    axes.set_ylabel("right, %")
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small")


def _dots(found: Measured, axes: Axes, palette: Palette) -> None:
    ways = _order(found)[::-1]
    for place, (name, curve) in enumerate(ways):
        point, colour = curve[-1], palette.series[0 if name.startswith((BEST, WEIGHTED)) else 1]
        axes.plot([100 * point["low"], 100 * point["high"]], [place, place], color=colour, linewidth=1.5)
        axes.plot([100 * point["value"]], [place], "o", ms=5, color=colour)
    axes.set_yticks(range(len(ways)), [_label(name) for name, _ in ways], fontsize="small")
    axes.set_xlabel("right, %")
