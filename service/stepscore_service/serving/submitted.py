"""Work that a caller submits and asks for later: kept for a while, and never more of it than a bound."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from stepscore_service.errors import Overloaded

T = TypeVar("T")


@dataclass(slots=True)
class SubmittedWork(Generic[T]):
    """started, ended: seconds since the epoch."""

    task: asyncio.Task[T]
    started: float
    ended: float | None = None


class Submissions(Generic[T]):
    """For one event loop. limit: how many are kept at once; finished ones count until they are fetched or too old."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._works: dict[str, SubmittedWork[T]] = {}

    def submit(self, work: Coroutine[Any, Any, T], seconds: float) -> str:
        """Starts the work; it is forgotten after `seconds`. Raises Overloaded if too many are kept."""
        if len(self._works) >= self._limit:
            work.close()
            raise Overloaded(f"{self._limit} submitted samples are kept; fetch some", retry_after_seconds=1)
        loop, key = asyncio.get_running_loop(), uuid.uuid4().hex
        kept = SubmittedWork(loop.create_task(work), time.time())
        kept.task.add_done_callback(lambda task: _note_end(kept))
        self._works[key] = kept
        loop.call_later(seconds, self._forget, key)
        return key

    def fetch(self, key: str) -> SubmittedWork[T] | None:
        """The work of that key; None for an unknown one. A finished one can be fetched again until it is too old."""
        return self._works.get(key)

    def _forget(self, key: str) -> None:
        self._works.pop(key).task.cancel()


def _note_end(work: SubmittedWork[T]) -> None:
    work.ended = time.time()
    if not work.task.cancelled():
        work.task.exception()  # or asyncio reports an error that nobody came to fetch
