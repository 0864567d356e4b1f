"""How far a job is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.progress import track

from stepscore_service.jobs.runs.console import ERR, note

SECONDS = 30.0
"""Between two plain lines of progress, where nobody sees a bar."""

T = TypeVar("T")


class PlainLines:
    """Progress where standard error is no terminal: a line now and then. done: items of earlier runs."""

    def __init__(
        self, done: int, total: int | None, clock: Callable[[], float] = time.monotonic, what: str = "rows"
    ) -> None:
        self._done, self._clock, self._what = done, clock, what
        self._of = "" if total is None else f" of {total}"
        self._said = clock()

    def tell(self, items: int) -> None:
        self._done += items
        if not ERR.is_terminal and self._clock() - self._said >= SECONDS:
            self._said = self._clock()
            note(f"{self._done}{self._of} {self._what}")


def watched(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """The items, while a person sees how many there were. what: for example "rollouts scored"."""
    plain = PlainLines(0, total, what=what)
    for item in track(items, what, total=total, console=ERR, disable=not ERR.is_terminal, transient=True):
        yield item
        plain.tell(1)
