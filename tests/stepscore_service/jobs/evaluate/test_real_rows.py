"""Every row of the published files is one that the suites can use."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepscore_service.jobs.evaluate.suites.base import Suite
from stepscore_service.jobs.evaluate.suites.prmbench import PrmBench, Rule
from stepscore_service.jobs.evaluate.suites.processbench import ProcessBench
from stepscore_service.jobs.runs.source import open_source

DATA = Path(__file__).parents[5] / "shared" / "data"


@pytest.mark.parametrize(
    ("name", "suite", "rows"),
    [
        ("processbench/math.json", ProcessBench(0.5), 1000),
        ("processbench/olympiadbench.json", ProcessBench(0.5), 1000),
        ("prmbench/subset400.jsonl", PrmBench(Rule(0.5)), 394),
    ],
)
def test_every_row_can_be_asked(name: str, suite: Suite, rows: int) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not on this machine")
    asked = [suite.ask(line.row()) for line in open_source(str(DATA / name)).lines()]
    assert len(asked) == rows
    assert all(solutions for solutions in asked)
