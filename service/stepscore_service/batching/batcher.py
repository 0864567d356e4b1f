"""The batcher of one model: requests come in on the event loop, forwards run on one separate thread.

Solutions are split, checked, tokenised and priced on other threads while a forward runs. When a forward ends, its
thread chooses the next batch from everything that is ready by then: nothing waits for a timer or for the event loop,
and a batch is never settled before it must be. A forward is one chunk of tokens: a solution that costs more is
computed over several, and others go between.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from stepscore.errors import EngineDead, EngineError, StepscoreError
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading, SolutionRequest
from stepscore_service.batching.encoding import EncodedRequest, encode_each
from stepscore_service.batching.protocols import (
    AdmissionControl,
    BatcherMetrics,
    QueueLoad,
    RequestContext,
    RequestFacts,
    ScoredSolution,
    SolutionOutcome,
)
from stepscore_service.batching.queue import BatchLimits, QueuedRequest, QueuedSolution, load_for, take_batch
from stepscore_service.batching.worker import ForwardResult, ThroughputEstimate, start
from stepscore_service.errors import DeadlineExceeded, Draining

log = structlog.get_logger("stepscore.batcher")

ENCODERS = 2
ENCODE_AT_ONCE = 64
"""Solutions of one request that are encoded before another request gets its turn."""


class ResponseFuture:
    """The outcomes that a request has so far, and the future that its caller waits for. For the event loop only."""

    def __init__(self, size: int) -> None:
        self.outcomes: list[SolutionOutcome | None] = [None] * size
        self.missing = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, index: int, outcome: SolutionOutcome) -> None:
        self.outcomes[index] = outcome
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def result(self) -> list[SolutionOutcome]:
        return [outcome for outcome in self.outcomes if outcome is not None]

    def dismiss(self) -> None:
        """The caller has stopped waiting: mark an unread error as read, so that asyncio does not warn."""
        if self.done.done() and not self.done.cancelled():
            self.done.exception()
        self.done.cancel()


@dataclass(frozen=True, slots=True)
class StartedForward:
    """A forward that was started. tokens: its budgets together. results: waits for its end."""

    solutions: list[QueuedSolution]
    tokens: int
    results: Callable[[], Sequence[ForwardResult]]


class Batcher:
    """Scores solutions for many callers at once. Made on the running event loop, to which its methods belong.

    max_solutions: in one forward. max_characters: of one problem with its solution.
    max_forward_seconds: after which a forward is taken to hang. 0 sets no limit.
    """

    def __init__(
        self,
        scorer: Scoring,
        metrics: BatcherMetrics,
        *,
        admission: AdmissionControl,
        max_solutions: int = 0,
        max_characters: int = 0,
        max_forward_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scorer = scorer
        self._metrics = metrics
        self._admission = admission
        self._max_characters = max_characters
        self._max_forward_seconds = max_forward_seconds
        self._fault: str | None = None
        self._forward_began = 0.0
        info = scorer.info
        self._limits = BatchLimits(
            info.max_batch_tokens, max_solutions, chunked=info.chunked, large_budget=info.large_batch_tokens
        )
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._responses: dict[QueuedRequest, ResponseFuture] = {}
        self._lock = threading.Lock()
        self._queue: dict[QueuedRequest, None] = {}
        self._running = False
        self._ahead: deque[StartedForward] = deque()
        self._draining = False
        self._closed = False
        self._throughput = ThroughputEstimate()
        self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="encode")
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="forward")

    @property
    def waiting_requests(self) -> int:
        return len(self._queue)

    @property
    def waiting_tokens(self) -> int:
        with self._lock:
            return sum(request.tokens for request in self._queue)

    @property
    def engines(self) -> tuple[int, int]:
        """How many engines there are, and how many of them work."""
        return 1, int(self.fault() is None)

    async def submit(
        self, solutions: Sequence[SolutionRequest], context: RequestContext | None = None
    ) -> list[SolutionOutcome]:
        """One reading, or the error of that solution, for each, in order.

        Cancelling withdraws what still waits. Raises Draining, Overloaded, QuotaExceeded, TooManyTokens,
        DeadlineExceeded.
        """
        context = context or RequestContext()
        arrived, deadline = self._clock(), context.deadline
        request = QueuedRequest(
            arrived, math.inf if deadline is None else deadline, tenant=context.tenant, bulk=context.bulk
        )
        self._admit(request, context)
        self._responses[request] = response = ResponseFuture(len(solutions))
        try:
            async with asyncio.timeout(None if deadline is None else deadline - arrived):
                await self._encode(request, context.cache_salt, solutions)
                encoded = self._clock()
                context.facts.tokenise, context.facts.tokens = (arrived, encoded), request.tokens
                if response.missing:
                    self._enqueue(request, context)
                    await response.done
                _note_times(context.facts, request, encoded, self._clock())
        except TimeoutError as error:
            raise DeadlineExceeded("the time limit of the request passed before its answer was ready") from error
        finally:
            self._cancel(request)
        return response.result()

    async def drain(self, seconds: float) -> None:
        """Take no new work, and give what is there this long to finish; what is left then fails with Draining."""
        self._draining = True
        if self._responses:
            await asyncio.wait([response.done for response in self._responses.values()], timeout=seconds)
        self._fail_all(Draining("the service shut down before this request's turn came"))

    async def close(self) -> None:
        """Wait for the forward that is running, then free the model."""
        self._draining = True
        with self._lock:
            self._closed = True
            self._queue.clear()
        if self._fault is None:  # a forward that hangs never ends
            await asyncio.to_thread(self._engine.shutdown)
        await asyncio.to_thread(self._encoders.shutdown)
        if self._fault is None:  # another process may take seconds to end, and others wait for answers meanwhile
            await asyncio.to_thread(self._scorer.close)

    def _admit(self, request: QueuedRequest, context: RequestContext) -> None:
        """Raises Draining, TooManyTokens, QuotaExceeded or Overloaded if the request cannot be added to what waits."""
        if self._draining:
            raise Draining("the service is shutting down and takes no new work")
        fault = self.fault()
        if fault is not None:
            raise EngineDead(fault)
        self._admission.check(request.tokens, self._load_for(request), context)

    def fault(self) -> str | None:
        """Why no forward will work until the process is restarted; None while all is well.

        A forward that takes longer than max_forward_seconds counts as hung; whoever waits for it gets the error.
        """
        with self._lock:
            seconds = self._clock() - self._forward_began if self._running else 0.0
        if self._fault is None and self._max_forward_seconds and seconds > self._max_forward_seconds:
            self._on_failure(EngineDead(f"a forward has been running for more than {self._max_forward_seconds:g} s"))
        if self._fault is not None:
            self._fail_all(EngineDead(self._fault))
        return self._fault

    def _on_failure(self, error: EngineError) -> None:
        """Called on the engine's thread with each error of a forward."""
        self._metrics.count_failure(error.code)
        if isinstance(error, EngineDead):
            log.error("engine_dead", reason=error.message)
            self._fault = error.message

    def _fail_all(self, error: StepscoreError) -> None:
        for response in self._responses.values():
            if not response.done.done():
                response.done.set_exception(error)

    def _load_for(self, request: QueuedRequest) -> QueueLoad:
        with self._lock:
            waiting = list(self._queue)
            running = sum(forward.tokens for forward in self._ahead)
            elapsed = self._clock() - self._forward_began
        rate = self._throughput.tokens_per_second
        return load_for(request, waiting, max(0, running - int(rate * elapsed)), rate, self._limits.budget)

    async def _encode(self, request: QueuedRequest, cache_salt: str, solutions: Sequence[SolutionRequest]) -> None:
        started = self._clock()
        for first in range(0, len(solutions), ENCODE_AT_ONCE):
            chunk = solutions[first : first + ENCODE_AT_ONCE]
            prepared = await self._loop.run_in_executor(self._encoders, self._prepare, cache_salt, chunk)
            for index, each in enumerate(prepared, first):
                if isinstance(each, StepscoreError):
                    self._responses[request].settle(index, each)
                else:
                    encoded, left = each
                    request.add(
                        QueuedSolution(
                            encoded=encoded.encoded, request=request, index=index, split=encoded.split, left=left
                        )
                    )
        self._metrics.observe_tokenising(self._clock() - started)

    def _prepare(
        self, cache_salt: str, solutions: Sequence[SolutionRequest]
    ) -> list[tuple[EncodedRequest, int] | StepscoreError]:
        """On an encoder's thread: each solution encoded, with its cost in tokens, or its error."""
        encoded = encode_each(self._scorer, solutions, cache_salt=cache_salt, max_characters=self._max_characters)
        return [
            each if isinstance(each, StepscoreError) else (each, self._scorer.cost(each.encoded)) for each in encoded
        ]

    def _enqueue(self, request: QueuedRequest, context: RequestContext) -> None:
        self._admit(request, context)
        with self._lock:
            self._queue[request] = None
        self._start_next()

    def _cancel(self, request: QueuedRequest) -> None:
        """The caller has stopped waiting: what is left of the request is not computed."""
        self._responses.pop(request).dismiss()
        with self._lock:
            request.departed = True
            waits = self._queue.pop(request, request) is None
            self._release(request.waiting)
        if waits:
            self._metrics.count_skipped("departed", len(request.waiting))

    def _release(self, solutions: Iterable[QueuedSolution]) -> None:
        for solution in solutions:
            self._scorer.release(solution)

    def _start_next(self) -> None:
        """Wake the engine's thread, unless it is at work."""
        with self._lock:
            wake = not (self._running or self._closed)
            if wake:
                self._running, self._forward_began = True, self._clock()
        if wake:
            self._engine.submit(self._run_forwards)

    def _run_forwards(self) -> None:
        """On the engine's thread: forwards until nothing waits. A defect of the program ends the engine."""
        try:
            while self._step():
                pass
        except Exception as defect:
            log.error("batcher_broke", exc_info=defect)
            self._on_failure(EngineDead(f"the batcher broke: {type(defect).__name__}"))
            self._loop.call_soon_threadsafe(self.fault)

    def _step(self) -> bool:
        """Start a forward, or else finish the oldest; False if there is neither.

        The next one is started before one is finished, if the scorer can have it ahead and enough waits to fill it:
        until then its batch would only be settled too early.
        """
        with self._lock:
            solutions = self._take() if self._may_start() else []
            self._running = busy = bool(solutions or self._ahead)
        if solutions:
            self._launch(solutions)
        elif self._ahead:
            self._finish(self._ahead[0])
        return busy

    def _may_start(self) -> bool:
        """Whether a batch should be taken now; the lock is held."""
        if not self._ahead:
            return True
        full = sum(request.left for request in self._queue) >= self._limits.budget
        return full and len(self._ahead) < self._scorer.info.in_flight

    def _launch(self, solutions: list[QueuedSolution]) -> None:
        if not self._ahead:
            self._forward_began = self._clock()
        tokens = sum(solution.token_budget for solution in solutions)
        results = start(self._scorer, solutions, self._on_failure)
        with self._lock:
            self._ahead.append(StartedForward(solutions, tokens, results))

    def _take(self) -> list[QueuedSolution]:
        """Remove the solutions of the next batch from the queue; the lock is held."""
        now = self._clock()
        rate = self._throughput.tokens_per_second
        batch = take_batch(tuple(self._queue), self._limits, now, price=self._price, tokens_per_second=rate)
        for request in (*batch.departed, *batch.expired):
            self._queue.pop(request)
            self._release(request.waiting)
            self._metrics.count_skipped("departed" if request.departed else "expired", len(request.waiting))
        return [solution for request, shares in batch.selected for solution in self._take_from(request, shares, now)]

    def _take_from(self, request: QueuedRequest, shares: tuple[int, ...], now: float) -> list[QueuedSolution]:
        solutions = request.take(len(shares))
        for solution, share in zip(solutions, shares, strict=True):
            if not solution.token_budget:
                self._metrics.observe_wait(now - request.arrived)
            request.started = now if request.started is None else request.started
            solution.token_budget = share
        if not request.waiting:
            self._queue.pop(request, None)
        return solutions

    def _price(self, solution: QueuedSolution) -> int:
        return self._scorer.cost(solution.remaining)

    def _finish(self, forward: StartedForward) -> None:
        """On the engine's thread: wait for the oldest forward, and hand its results over to the event loop."""
        results = list(zip(forward.solutions, forward.results(), strict=True))
        settled = [(solution, result) for solution, result in results if result is not None]
        seconds = self._clock() - self._forward_began
        tokens = sum(solution.count_part(finished=result is not None) for solution, result in results)
        self._metrics.count_forward(len(results), tokens, seconds)
        self._throughput.update(tokens, seconds)
        self._release(solution for solution, _ in settled)
        with self._lock:
            self._ahead.popleft()
            self._forward_began = self._clock()
            for solution in [solution for solution, result in reversed(results) if result is None]:
                self._requeue(solution)
        self._loop.call_soon_threadsafe(self._settle, settled)

    def _requeue(self, solution: QueuedSolution) -> None:
        """Queue a solution that needs further forwards, unless its caller has stopped waiting; the lock is held."""
        if solution.request.departed or self._closed:
            self._scorer.release(solution)
            return
        solution.request.requeue(solution, self._price(solution))
        self._queue[solution.request] = None

    def _settle(self, settled: Sequence[tuple[QueuedSolution, Reading | StepscoreError]]) -> None:
        for solution, result in settled:
            if solution.request in self._responses:
                outcome = (
                    ScoredSolution(solution.split, solution.encoded, result) if isinstance(result, Reading) else result
                )
                self._responses[solution.request].settle(solution.index, outcome)


def _note_times(facts: RequestFacts, request: QueuedRequest, queued: float, answered: float) -> None:
    """What the request waited, and what it took from the start of its first forward on."""
    if request.started is not None:
        facts.queue, facts.forward = (queued, request.started), (request.started, answered)
