"""The batcher of one model: requests come in on the event loop, forwards run on one thread of their own.

Solutions are checked, tokenised and priced on other threads while a forward runs. The moment a forward ends, its
thread itself chooses the next batch from everything that is ready by then: nothing waits for a timer or for the event
loop, and a batch is never settled before it must be. A forward is one chunk of tokens: a solution that costs more is
computed over several, and others go between.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from stepscore.errors import StepscoreError
from stepscore.scoring import Scoring
from stepscore.types import Reading, Solution
from stepscore_service.batching.encoding import encode_each
from stepscore_service.batching.forward import answers_of, forward
from stepscore_service.batching.pending import Pending
from stepscore_service.batching.protocols import Answer, Meter, Outcome, Scored
from stepscore_service.batching.queue import Call, Item, Rules, take_batch
from stepscore_service.batching.throughput import Speed
from stepscore_service.errors import DeadlineExceeded, Draining, Overloaded, TooManyTokens

ENCODERS = 2
ENCODE_AT_ONCE = 64
"""Solutions that one request has tokenised before another request gets its turn."""


class Batcher:
    """Scores solutions for many callers at once. Made on the running event loop, to which its methods belong.

    max_solutions: of one forward; 0 sets no limit.
    """

    def __init__(
        self,
        scorer: Scoring,
        meter: Meter,
        *,
        max_queue_tokens: int,
        max_solutions: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scorer = scorer
        self._meter = meter
        self._max_queue_tokens = max_queue_tokens
        self._rules = Rules(scorer.info.max_batch_tokens, max_solutions, splits=scorer.info.chunked)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._open: dict[Call, Pending] = {}
        self._lock = threading.Lock()
        self._queue: dict[Call, None] = {}
        self._running = False
        self._draining = False
        self._closed = False
        self._speed = Speed()
        self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="encode")
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="forward")

    @property
    def waiting_calls(self) -> int:
        return len(self._queue)

    @property
    def waiting_tokens(self) -> int:
        with self._lock:
            return sum(call.tokens for call in self._queue)

    async def submit(
        self, solutions: Sequence[Solution], deadline: float | None = None, salt: str = ""
    ) -> list[Outcome]:
        """One reading, or the error of that solution, for each, in order.

        deadline: when, on the clock, the caller no longer wants the answer. Cancelling withdraws what still waits.
        salt: computed prefixes are shared only with solutions of the same one.
        Raises Draining, Overloaded, TooManyTokens, DeadlineExceeded.
        """
        self._admit(0)
        arrived = self._clock()
        call = Call(arrived, math.inf if deadline is None else deadline)
        self._open[call] = pending = Pending(len(solutions))
        try:
            async with asyncio.timeout(None if deadline is None else deadline - arrived):
                await self._encode(call, salt, solutions)
                if pending.missing:
                    self._enqueue(call)
                    await pending.done
        except TimeoutError as error:
            raise DeadlineExceeded("the time limit of the request passed before its answer was there") from error
        finally:
            self._withdraw(call)
        outcomes = pending.result()
        for outcome in outcomes:
            self._meter.answered(outcome)
        return outcomes

    async def drain(self, seconds: float) -> None:
        """Take no new work, and give what is there this long to finish; what is left then fails with Draining."""
        self._draining = True
        if self._open:
            await asyncio.wait([pending.done for pending in self._open.values()], timeout=seconds)
        for pending in self._open.values():
            if not pending.done.done():
                pending.done.set_exception(Draining("the service shut down before this request's turn came"))

    async def close(self) -> None:
        """Wait for the forward that is running, then free the model."""
        self._draining = True
        with self._lock:
            self._closed = True
            self._queue.clear()
        await asyncio.to_thread(self._engine.shutdown)
        await asyncio.to_thread(self._encoders.shutdown)
        self._scorer.close()

    def _admit(self, tokens: int) -> None:
        """Raises where `tokens` more than what waits now are too many."""
        if self._draining:
            raise Draining("the service is shutting down and takes no new work")
        limit = self._max_queue_tokens
        if tokens > limit:
            message = f"{tokens} tokens in one request, and {limit} fit into the queue: split the request"
            raise TooManyTokens(message, tokens=tokens, limit=limit)
        waiting = self.waiting_tokens
        if waiting + max(1, tokens) > limit:
            raise Overloaded(
                f"{waiting} tokens wait already and the queue holds {limit}; try again later",
                queued_tokens=waiting,
                limit=limit,
                retry_after_seconds=self._speed.seconds_for(waiting),
            )

    async def _encode(self, call: Call, salt: str, solutions: Sequence[Solution]) -> None:
        started = self._clock()
        for first in range(0, len(solutions), ENCODE_AT_ONCE):
            chunk = solutions[first : first + ENCODE_AT_ONCE]
            answers = await self._loop.run_in_executor(self._encoders, encode_each, self._scorer, salt, chunk)
            for index, answer in enumerate(answers, first):
                if isinstance(answer, StepscoreError):
                    self._open[call].settle(index, answer)
                else:
                    call.add(index, *answer)
        self._meter.tokenised(self._clock() - started)

    def _enqueue(self, call: Call) -> None:
        self._admit(call.tokens)
        with self._lock:
            self._queue[call] = None
        self._start_next()

    def _withdraw(self, call: Call) -> None:
        """Nobody waits for this call any more: what of it has not been computed will not be."""
        self._open.pop(call).dismiss()
        with self._lock:
            call.departed = True
            waits = self._queue.pop(call, call) is None
            self._release(call.waiting)
        if waits:
            self._meter.skipped("departed", len(call.waiting))

    def _release(self, items: Iterable[Item]) -> None:
        for item in items:
            self._scorer.release(item.work)

    def _start_next(self) -> None:
        """Start a forward unless one runs. On the event loop, or on the engine's thread when a forward has ended."""
        with self._lock:
            items = [] if self._running else self._take()
            self._running = self._running or bool(items)
        if items:
            finished = partial(self._finished, items, self._clock())
            self._engine.submit(forward, self._scorer, items).add_done_callback(finished)

    def _take(self) -> list[Item]:
        """Remove the items of the next batch from the queue; the lock is held."""
        now = self._clock()
        taken = take_batch(tuple(self._queue), self._rules, now, price=self._price)
        for call in (*taken.departed, *taken.expired):
            self._queue.pop(call)
            self._release(call.waiting)
            self._meter.skipped("departed" if call.departed else "expired", len(call.waiting))
        return [item for call, shares in taken.picks for item in self._take_from(call, shares, now)]

    def _take_from(self, call: Call, shares: tuple[int, ...], now: float) -> list[Item]:
        items = call.take(len(shares))
        for item, share in zip(items, shares, strict=True):
            if not item.work.allowance:
                self._meter.queued(now - call.arrived)
            item.work.allowance = share
        if not call.waiting:
            self._queue.pop(call, None)
        return items

    def _price(self, item: Item) -> int:
        return self._scorer.cost(item.work.remaining)

    def _finished(self, items: list[Item], started: float, future: Future[list[Answer | None]]) -> None:
        """On the engine's thread: start the next forward, then hand the answers over to the event loop."""
        answers = list(zip(items, answers_of(items, future), strict=True))
        settled = [(item, answer) for item, answer in answers if answer is not None]
        unfinished = [item for item, answer in answers if answer is None]
        seconds = self._clock() - started
        tokens = sum(item.part(finished=answer is not None) for item, answer in answers)
        self._meter.forwarded(len(items), tokens, seconds)
        self._speed.saw(tokens, seconds)
        self._release(item for item, _ in settled)
        with self._lock:
            self._running = False
            for item in reversed(unfinished):
                self._go_on(item)
        self._start_next()
        self._loop.call_soon_threadsafe(self._settle, settled)

    def _go_on(self, item: Item) -> None:
        """Queue an item that needs further forwards, unless nobody waits for it any more; the lock is held."""
        if item.call.departed or self._closed:
            self._scorer.release(item.work)
            return
        item.call.put_back(item, self._price(item))
        self._queue[item.call] = None

    def _settle(self, settled: Sequence[tuple[Item, Answer]]) -> None:
        for item, answer in settled:
            if item.call in self._open:
                outcome = Scored(answer, item.work.encoded) if isinstance(answer, Reading) else answer
                self._open[item.call].settle(item.index, outcome)
