"""Progress: plain lines now and then where there is no terminal."""

from __future__ import annotations

import io

from rich.console import Console

from stepscore_service.jobs.label.run import LabelProgress, none_right, summary, warnings
from stepscore_service.jobs.label.shard import FinishedShard
from stepscore_service.jobs.runs.progress import ProgressDisplay


def test_a_plain_line_every_half_minute() -> None:
    console, now = Console(file=io.StringIO(), force_terminal=False), [0.0]
    with ProgressDisplay("problems", 10, 2, output=console, clock=lambda: now[0]) as display:
        progress = LabelProgress(display)
        for second in range(0, 100, 10):
            now[0] = float(second)
            progress.add_rollouts(5)
        progress.add_shard(FinishedShard(0, {}, {"problems": 4}))
        now[0] = 120.0
        progress.add_rollouts(1)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "2 of 10 problems, 20 rollouts",
        "2 of 10 problems, 35 rollouts",
        "2 of 10 problems, 50 rollouts",
        "6 of 10 problems, 51 rollouts",
    ]


def test_a_terminal_sees_a_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressDisplay("problems", 4, output=console) as display:
        progress = LabelProgress(display)
        progress.add_rollouts(64)
        progress.add_shard(FinishedShard(0, {}, {"problems": 1}))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "1/4" in shown
    assert "64 rollouts" in shown


def test_what_cannot_be_judged_is_said_apart_from_what_is_wrong() -> None:
    totals = {"rows": 2, "problems": 2, "rollouts": 9, "rounds": 1, "wrong": 1, "truncated": 5, "unreadable": 3}
    assert "9 rollouts in 1 rounds: 0 right, 1 wrong, 3 unreadable, 5 truncated." in summary(totals)
    assert len(warnings(totals)) == 1
    assert "not one of 9 rollouts" in none_right(totals)
    assert "dropped-*.jsonl" in none_right({**totals, "problems_unsolved": 3})
    assert not none_right({"problems": 3})
