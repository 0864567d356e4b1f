"""Progress is a bar on a terminal and a plain line now and then elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stepscore_service.jobs.runs.progress import ProgressDisplay


@pytest.mark.parametrize(("total", "line"), [(100, "20 of 100 rows, 3 errors"), (None, "20 rows, 3 errors")])
def test_a_plain_line_appears_every_half_minute(total: int | None, line: str) -> None:
    times = iter([0.0, 1.0, 31.0, 31.0, 40.0])
    output = Console(file=io.StringIO(), force_terminal=False)
    with ProgressDisplay("rows", total, 10, output=output, clock=lambda: next(times)) as display:
        for _ in range(3):
            display.advance(5, "3 errors")
    assert isinstance(output.file, io.StringIO)
    assert output.file.getvalue().splitlines() == [line]
