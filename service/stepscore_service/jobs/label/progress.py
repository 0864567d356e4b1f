"""How far a labelling run is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stepscore_service.jobs.label.shard import Finished

SECONDS = 30.0
"""Between two plain lines."""


class LabelProgress:
    """Counts problems (whole shards) and rollouts (as they come). done: problems of earlier runs."""

    def __init__(self, console: Console, total: int, done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._total, self._done, self._rollouts = total, done, 0
        self._said = clock()
        columns = (
            TextColumn("problems"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rollouts]} rollouts"),
        )
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Progress(*columns, *times, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("problems", total=total, completed=done, rollouts=0)

    def __enter__(self) -> LabelProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def rolled(self, rollouts: int) -> None:
        self._rollouts += rollouts
        self._show()

    def finished(self, shard: Finished) -> None:
        self._done += shard.totals["problems"]
        self._show()

    def _show(self) -> None:
        self._bar.update(self._task, completed=self._done, rollouts=self._rollouts)
        if not self._console.is_terminal and self._clock() - self._said >= SECONDS:
            self._said = self._clock()
            self._console.print(f"{self._done} of {self._total} problems labelled, {self._rollouts} rollouts")
