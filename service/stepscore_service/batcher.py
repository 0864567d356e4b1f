"""The batcher of one model: requests come in on the event loop, forwards run on one thread of their own.

Solutions are checked, tokenised and priced on other threads while a forward runs. The moment a forward ends, its
thread itself chooses the next batch from everything that is ready by then: nothing waits for a timer or for the event
loop, and a batch is never settled before it must be.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import structlog

from stepscore.errors import EngineError, StepscoreError
from stepscore.types import EncodedSolution, Reading, Solution
from stepscore_service.batcher_pending import Pending
from stepscore_service.batcher_ports import Answer, Meter, Outcome, Scored, Scoring
from stepscore_service.batcher_queue import Call, Item, take_batch
from stepscore_service.errors import DeadlineExceeded, Draining, Overloaded, TooManyTokens

ENCODERS = 2
ENCODE_AT_ONCE = 64
"""Solutions that one request has tokenised before another request gets its turn."""
RETRY_AFTER_SECONDS = (1, 60)

log = structlog.get_logger("stepscore.batcher")


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
        self._max_solutions = max_solutions
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._open: dict[Call, Pending] = {}
        self._lock = threading.Lock()
        self._queue: dict[Call, None] = {}
        self._running = False
        self._draining = False
        self._speed = 0.0
        self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="encode")
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="forward")

    @property
    def waiting_calls(self) -> int:
        return len(self._queue)

    @property
    def waiting_tokens(self) -> int:
        with self._lock:
            return sum(call.tokens for call in self._queue)

    async def submit(self, solutions: Sequence[Solution], deadline: float | None = None) -> list[Outcome]:
        """One reading, or the error of that solution, for each, in order.

        deadline: when, on the clock, the caller no longer wants the answer. Cancelling withdraws what still waits.
        Raises Draining, Overloaded, TooManyTokens, DeadlineExceeded.
        """
        self._admit(0)
        arrived = self._clock()
        call = Call(arrived, math.inf if deadline is None else deadline)
        self._open[call] = pending = Pending(len(solutions))
        try:
            async with asyncio.timeout(None if deadline is None else deadline - arrived):
                await self._encode(call, solutions)
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
                retry_after_seconds=self._seconds_for(waiting),
            )

    def _seconds_for(self, tokens: int) -> int:
        """How long the tokens will take at the speed of the latest forwards, in whole seconds."""
        low, high = RETRY_AFTER_SECONDS
        return min(high, max(low, round(tokens / self._speed))) if self._speed else low

    async def _encode(self, call: Call, solutions: Sequence[Solution]) -> None:
        started = self._clock()
        for first in range(0, len(solutions), ENCODE_AT_ONCE):
            chunk = solutions[first : first + ENCODE_AT_ONCE]
            answers = await self._loop.run_in_executor(self._encoders, self._encode_chunk, chunk)
            for index, answer in enumerate(answers, first):
                if isinstance(answer, EncodedSolution):
                    call.add(index, answer)
                else:
                    self._open[call].settle(index, answer)
        self._meter.tokenised(self._clock() - started)

    def _encode_chunk(self, solutions: Sequence[Solution]) -> list[EncodedSolution | StepscoreError]:
        return [self._encode_one(solution) for solution in solutions]

    def _encode_one(self, solution: Solution) -> EncodedSolution | StepscoreError:
        try:
            return self._scorer.encode(solution)
        except StepscoreError as error:
            return error

    def _enqueue(self, call: Call) -> None:
        self._admit(call.tokens)
        with self._lock:
            self._queue[call] = None
        self._start_next()

    def _withdraw(self, call: Call) -> None:
        """Nobody waits for this call any more: what of it has not been computed will not be."""
        call.departed = True
        self._open.pop(call).dismiss()
        with self._lock:
            waits = self._queue.pop(call, call) is None
        if waits:
            self._meter.skipped("departed", len(call.waiting))

    def _start_next(self) -> None:
        """Start a forward unless one runs. On the event loop, or on the engine's thread when a forward has ended."""
        with self._lock:
            items = [] if self._running else self._take()
            self._running = self._running or bool(items)
        if items:
            finished = partial(self._finished, items, self._clock())
            self._engine.submit(self._forward, items).add_done_callback(finished)

    def _take(self) -> list[Item]:
        """Remove the items of the next batch from the queue; the lock is held."""
        now = self._clock()
        taken = take_batch(
            tuple(self._queue),
            self._scorer.info.max_batch_tokens,
            now,
            price=lambda item: self._scorer.cost(item.encoded),
            max_items=self._max_solutions,
        )
        for call in (*taken.departed, *taken.expired):
            self._queue.pop(call)
            self._meter.skipped("departed" if call.departed else "expired", len(call.waiting))
        items = [item for call, count in taken.picks for item in call.take(count)]
        for item in items:
            self._meter.queued(now - item.call.arrived)
            if not item.call.waiting:
                self._queue.pop(item.call, None)
        return items

    def _forward(self, items: Sequence[Item]) -> list[Answer]:
        """A forward that fails is run once more for each solution alone, so that one cannot fail its neighbours."""
        try:
            return self._scorer.forward([item.encoded for item in items])
        except EngineError as error:
            log.warning("forward_failed", solutions=len(items), reason=error.message)
            return [error] if len(items) == 1 else [self._forward([item])[0] for item in items]

    def _finished(self, items: list[Item], started: float, future: Future[list[Answer]]) -> None:
        """On the engine's thread: start the next forward, then hand the answers over to the event loop."""
        seconds, tokens = self._clock() - started, sum(item.tokens for item in items)
        self._meter.forwarded(len(items), tokens, seconds)
        self._speed = 0.8 * self._speed + 0.2 * tokens / seconds if self._speed else tokens / seconds
        with self._lock:
            self._running = False
        self._start_next()
        self._loop.call_soon_threadsafe(self._settle, items, _answers(items, future))

    def _settle(self, items: list[Item], answers: list[Answer]) -> None:
        for item, answer in zip(items, answers, strict=True):
            if item.call in self._open:
                outcome = Scored(answer, item.encoded) if isinstance(answer, Reading) else answer
                self._open[item.call].settle(item.index, outcome)


def _answers(items: list[Item], future: Future[list[Answer]]) -> list[Answer]:
    """The answers of a forward. A defect of the program is told as an error of every solution, and logged."""
    defect = future.exception()
    if defect is None:
        return future.result()
    log.error("forward_broke", solutions=len(items), exc_info=defect)
    return [EngineError(f"the forward pass broke: {type(defect).__name__}") for _ in items]
