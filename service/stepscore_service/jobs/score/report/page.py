"""The page: HTML that needs nothing from outside."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from stepscore.types import RangeKind, colour, goodness, kind_of
from stepscore_service.jobs.score.report.numbers import SHOWN_AGGREGATES, TENTHS, GroupNumbers, ReportNumbers
from stepscore_service.jobs.score.report.plots import Axes, Points, histogram, lines
from stepscore_service.jobs.score.report.solutions import ReportedSolution

BINS = 20
LONGEST = 12
"""Solutions with more steps are counted together."""


def report_page(numbers: ReportNumbers, title: str) -> str:
    """title: the name of the file. At least one row has a result."""
    whole, groups = numbers.whole(), numbers.shown_groups()
    page = files("stepscore_service.jobs.score.report").joinpath("page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": escape(title),
        "ABOUT": escape("; ".join(numbers.models)),
        "TILES": _tiles(numbers, whole),
        "GROUPS": _groups(numbers.by, groups) if numbers.by else "",
        "HISTOGRAM": histogram({name: each.scores for name, each in groups.items()}, _edges(whole.scores), "score"),
        "PLACES": _places(groups),
        "LENGTHS": _lengths(whole),
        "WORST": "".join(map(_solution, numbers.worst)),
        "COUNT": str(len(numbers.worst)),
    }
    return re.sub(r"@([A-Z]+)@", lambda found: parts[found[1]], page)


def _tiles(numbers: ReportNumbers, whole: GroupNumbers) -> str:
    failed = ", ".join(f"{count} {code}" for code, count in numbers.errors.items())
    share = whole.share_with_first_error
    tiles = [
        ("solutions", str(len(whole.scores)), f"of {numbers.rows} rows"),
        ("steps", str(sum(whole.lengths)), f"{sum(whole.lengths) / len(whole.lengths):.1f} a solution"),
        ("mean score", f"{whole.mean:.4f}", f"{min(whole.scores):.4f} to {max(whole.scores):.4f}"),
        *([] if share is None else [("first error", f"{share:.1%}", "have one")]),
        *([("not scored", str(numbers.errors.total()), failed)] if numbers.errors else []),
    ]
    return "".join(
        f'<div class="tile"><span>{escape(label)}</span><b>{escape(number)}</b><span>{escape(detail)}</span></div>'
        for label, number, detail in tiles
    )


def _groups(by: str, groups: dict[str, GroupNumbers]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{len(each.scores)}</td><td>{each.mean:.4f}</td>"
        f"<td>{sum(each.lengths) / len(each.lengths):.1f}</td>"
        + ("" if (share := each.share_with_first_error) is None else f"<td>{share:.1%}</td>")
        + "</tr>"
        for name, each in groups.items()
    )
    judged = ["with a first error"] if any(each.judged for each in groups.values()) else []
    names = (escape(by), "solutions", "mean score", "steps", *judged)
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    return f"<section><h2>By {escape(by)}</h2><table>{head}{rows}</table></section>"


def _edges(scores: Sequence[float]) -> list[float]:
    low, high = (0.0, 1.0) if kind_of(scores) == "probability" else (min(scores), max(scores))
    width = (high - low) or 1.0
    return [low + width * place / BINS for place in range(BINS + 1)]


def _places(groups: dict[str, GroupNumbers]) -> str:
    series = {name: _by_place(each) for name, each in groups.items()}
    return lines(series, Axes((0, 100), _span(series), "place in the solution, %", "mean reward"))


def _by_place(group: GroupNumbers) -> Points:
    return [((place + 0.5) * 100 / TENTHS, total / n) for place, (n, total) in enumerate(group.by_tenth) if n]


def _lengths(whole: GroupNumbers) -> str:
    series = {name: _by_length(whole, name) for name in SHOWN_AGGREGATES if name in whole.aggregates}
    steps = [x for points in series.values() for x, _ in points]
    label = f"steps ({LONGEST}: {LONGEST} or more)" if max(steps) == LONGEST else "steps"
    beside = min(steps) == max(steps)
    across = (min(steps) - beside, max(steps) + beside)
    return lines(series, Axes(across, _span(series), label, "mean aggregate", counts=True))


def _by_length(whole: GroupNumbers, name: str) -> Points:
    held: dict[int, list[float]] = defaultdict(list)
    for steps, value in whole.aggregates[name]:
        held[min(steps, LONGEST)].append(value)
    return [(steps, sum(values) / len(values)) for steps, values in sorted(held.items())]


def _span(series: Mapping[str, Points]) -> tuple[float, float]:
    """The range of an axis: 0 to 1 for what lies in it."""
    values = [y for points in series.values() for _, y in points]
    return (0.0, 1.0) if kind_of(values) == "probability" else (min(values), max(values))


def _solution(solution: ReportedSolution) -> str:
    kind = kind_of(solution.rewards)
    group = f" · {escape(solution.group)}" if solution.group else ""
    steps = solution.steps or [""] * len(solution.rewards)
    items = "".join(
        _step(text, reward, kind, first=place == solution.first_error)
        for place, (text, reward) in enumerate(zip(steps, solution.rewards, strict=True))
    )
    return (
        f"<article><h3>{solution.score:.4f} <small>{escape(solution.name)}{group}</small></h3>"
        f'<p class="problem">{escape(solution.problem)}</p><ol start="0">{items}</ol></article>'
    )


def _step(text: str, reward: float, kind: RangeKind, *, first: bool) -> str:
    shade = ",".join(map(str, colour(goodness(reward, kind))))
    mark = " <em>first error</em>" if first else ""
    return f'<li style="--shade:{shade}"><b>{reward:.4f}</b> {escape(text)}{mark}</li>'
