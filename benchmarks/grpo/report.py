"""What the runs left: a picture of rewards and of held-out accuracy, and the same as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from benchmarks.grpo.sizes import ACCURACY, REWARDS, SECONDS

WINDOW = 6
COLOURS = dict(zip(REWARDS, ("#0072b2", "#d55e00", "#009e73"), strict=True))
"""Told apart by colour-blind readers too."""
SERIES = {
    "reward": "reward, as each run pays it",
    "process": "score of the process reward model",
    "right": "right answers among the samples",
    ACCURACY: "held-out accuracy (greedy)",
}
Curve = dict[int, float]
"""A value by step."""


def curves(folder: Path) -> dict[str, dict[str, Curve]]:
    """By run and series, as far as saved; accuracy begins with that of the policy before all runs."""
    logs = {run: _log(folder / run) for run in REWARDS if (folder / run).is_dir()}
    found = {run: {name: _curve(log, name) for name in (*SERIES, SECONDS)} for run, log in logs.items() if log}
    before = json.loads((folder / "policy" / "warm-up.json").read_text())[ACCURACY]
    return {run: each | {ACCURACY: {0: before} | each[ACCURACY]} for run, each in found.items()}


def _log(run: Path) -> list[dict[str, Any]]:
    found = get_last_checkpoint(str(run))  # type: ignore[no-untyped-call]
    if found is None:
        return []
    log: list[dict[str, Any]] = json.loads((Path(found) / "trainer_state.json").read_text())["log_history"]
    return log


def _curve(log: Sequence[Mapping[str, Any]], name: str) -> Curve:
    return {entry["step"]: entry[name] for entry in log if name in entry}


def draw(folder: Path, file: Path) -> None:
    """Four panels as SVG; thin lines are steps, thick ones the mean of the last few."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "stepscore", "svg.fonttype": "none"}
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for (name, title), panel in zip(SERIES.items(), panels.flat, strict=True):
        for run, found in curves(folder).items():
            _draw_curve(panel, found[name], run, smooth=name != ACCURACY)
        panel.set(title=title, xlabel="step", ylim=(0, None))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
    panels.flat[0].legend(title="paid for")
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _draw_curve(panel: Any, curve: Curve, run: str, *, smooth: bool) -> None:
    steps, values = list(curve), list(curve.values())
    if smooth:
        panel.plot(steps, values, color=COLOURS[run], alpha=0.25, linewidth=0.8)
        values = [mean(values[max(0, end - WINDOW) : end]) for end in range(1, len(values) + 1)]
    panel.plot(steps, values, color=COLOURS[run], label=run, marker=None if smooth else "o", markersize=4)


def tables(folder: Path) -> str:
    """Held-out accuracy by step; then the first and the last steps' means of what was logged."""
    found = curves(folder)
    steps = sorted({step for each in found.values() for step in each[ACCURACY]})
    rows = [["held-out accuracy at step", *map(str, steps)]]
    for run, each in found.items():
        rows.append([run, *(_percent(each[ACCURACY].get(step)) for step in steps)])
    rest = [["run", *(f"{name}, first {WINDOW} -> last {WINDOW}" for name in SERIES if name != ACCURACY), "s a step"]]
    for run, each in found.items():
        values = [list(each[name].values()) for name in SERIES if name != ACCURACY]
        changes = [f"{mean(each[:WINDOW]):.3f} -> {mean(each[-WINDOW:]):.3f}" for each in values]
        rest.append([run, *changes, f"{mean(list(each[SECONDS].values())):.0f}"])
    return f"{_table(rows)}\n\n{_table(rest)}\n"


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
