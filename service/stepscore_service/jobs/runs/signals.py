"""What SIGINT and SIGTERM do to a run: end it after the work in hand, or at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from stepscore_service.jobs.runs import console


class StopSignals:
    """A context in which the first SIGINT or SIGTERM only sets `requested`; the second has its usual effect.

    message: what a person reads after the first.
    """

    def __init__(self, message: str, say: Callable[[str], None] = console.info) -> None:
        self.requested = False
        self._message, self._say = message, say
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, self._before[number])
        self._say(self._message)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """In it, SIGTERM raises KeyboardInterrupt as SIGINT does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
