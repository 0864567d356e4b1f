"""Single calls that are made at the same time travel together: one request holds many of them.

There is no timer: a batch leaves at the end of the event loop's turn, or when an earlier one comes back. Several calls
about one problem make a request of their own, so that it carries the problem's session (`X-Session-Id`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stepscore_service.client.errors import HTTP_ERROR, ServiceError, error_of_item
from stepscore_service.schemas.score import FailedItem, ScoreAnswer

ITEMS_AT_ONCE = 64
BATCHES_AT_ONCE = 4
APART = (413, 422)
"""Statuses that a request may owe to one of its items."""

Options = tuple[tuple[str, Any], ...]
SendItems = Callable[[list[Mapping[str, Any]], Mapping[str, Any]], Awaitable[list[ScoreAnswer | FailedItem]]]


@dataclass(frozen=True, slots=True, eq=False)
class PendingCall:
    """One call that waits for its answer. options: calls of equal ones travel together."""

    item: Mapping[str, Any]
    options: Options
    answer: asyncio.Future[ScoreAnswer]

    @property
    def problem(self) -> str:
        return str(self.item.get("problem"))


class CallBatches:
    """Collects calls and sends them in batches. For one event loop."""

    def __init__(self, send: SendItems) -> None:
        self._send = send
        self._waiting: list[PendingCall] = []
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def score(self, item: Mapping[str, Any], options: Mapping[str, Any]) -> ScoreAnswer:
        """The answer to one item. Raises ServiceError of this item alone, or what `send` raises."""
        loop = asyncio.get_running_loop()
        call = PendingCall(item, _freeze(options), loop.create_future())
        self._waiting.append(call)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start)
        return await call.answer

    def _start(self) -> None:
        """Send what waits, as far as batches may run. A caller that gave up is left out."""
        self._scheduled = False
        self._waiting = [call for call in self._waiting if not call.answer.done()]
        while self._waiting and len(self._running) < BATCHES_AT_ONCE:
            task = asyncio.ensure_future(self._run(self._take()))
            self._running.add(task)
            task.add_done_callback(self._on_finish)

    def _take(self) -> list[PendingCall]:
        """Those of the first call's problem; if there is only this one, all calls that are alone with theirs."""
        first = self._waiting[0]
        alike = [call for call in self._waiting if call.options == first.options]
        times = Counter(call.problem for call in alike)
        if times[first.problem] > 1:
            batch = [call for call in alike if call.problem == first.problem][:ITEMS_AT_ONCE]
        else:
            batch = [call for call in alike if times[call.problem] == 1][:ITEMS_AT_ONCE]
        taken = set(batch)
        self._waiting = [call for call in self._waiting if call not in taken]
        return batch

    def _on_finish(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _run(self, batch: list[PendingCall]) -> None:
        try:
            results = await self._send([call.item for call in batch], dict(batch[0].options))
            _check_count(results, len(batch))
        except ServiceError as error:
            if len(batch) > 1 and error.status in APART:
                await self._run_apart(batch)
            else:
                _fail(batch, error)
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            for call, result in zip(batch, results, strict=True):
                _settle(call, result)

    async def _run_apart(self, batch: list[PendingCall]) -> None:
        """A request that the service refuses as a whole says nothing about each of its calls."""
        await asyncio.gather(*(self._run([call]) for call in batch))


def _check_count(results: list[ScoreAnswer | FailedItem], wanted: int) -> None:
    """Raises ServiceError if an answer would leave calls without theirs."""
    if len(results) != wanted:
        raise ServiceError(200, HTTP_ERROR, f"the answer holds {len(results)} results for {wanted} solutions", {})


def _settle(call: PendingCall, result: ScoreAnswer | FailedItem) -> None:
    if call.answer.done():
        return
    if isinstance(result, FailedItem):
        call.answer.set_exception(error_of_item(result))
    else:
        call.answer.set_result(result.model_copy(update={"index": 0}))


def _fail(batch: list[PendingCall], error: BaseException) -> None:
    for call in batch:
        if call.answer.done():
            continue
        if isinstance(error, Exception):
            call.answer.set_exception(error)
        else:
            call.answer.cancel()


def _freeze(options: Mapping[str, Any]) -> Options:
    """Comparable; lists of names become tuples, which are the same JSON."""
    pairs = ((name, tuple(value) if isinstance(value, list) else value) for name, value in options.items())
    return tuple(sorted(pairs, key=lambda pair: pair[0]))
