"""How far a job is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from stepscore_service.jobs.runs import console

SECONDS = 30.0
"""Between two plain lines."""

T = TypeVar("T")


class ProgressDisplay:
    """A context. what: the items in plural, such as "rows". done: items of earlier runs. total: None if not known."""

    def __init__(
        self,
        what: str,
        total: int | None,
        done: int = 0,
        *,
        output: Console = console.ERR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total, self._done, self._detail = what, total, done, ""
        self._console, self._clock, self._said = output, clock, clock()
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[detail]}"))
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = RichProgress(*columns, *times, console=output, disable=not output.is_terminal, transient=True)
        self._task = self._bar.add_task(what, total=total, completed=done, detail="")

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def advance(self, items: int = 1, detail: str | None = None) -> None:
        """detail: a few words to show beside the count from now on, such as "2 errors"."""
        self.update(self._done + items, detail)

    def update(self, done: int, detail: str | None = None) -> None:
        """done: items so far, those of earlier runs included."""
        self._done = done
        self._detail = self._detail if detail is None else detail
        self._bar.update(self._task, completed=done, detail=self._detail)
        if not self._console.is_terminal and self._clock() - self._said >= SECONDS:
            self._said = self._clock()
            self._console.print(self._line(), soft_wrap=True, markup=False, emoji=False)

    def _line(self) -> str:
        of = "" if self._total is None else f" of {self._total}"
        return f"{self._done}{of} {self._what}" + (f", {self._detail}" if self._detail else "")


def with_progress(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """The items, with a display of how many there were. what: for example "rollouts"."""
    with ProgressDisplay(what, total) as display:
        for item in items:
            yield item
            display.advance()
