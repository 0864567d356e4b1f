"""With a scorer that can have a forward ahead, the next one is started early if it is full, and never before."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from held_scorer import BIT, INFO, Counted, HeldScorer
from stepscore.engine.protocol import Work
from stepscore.errors import EngineDead, EngineError, OutOfMemory
from stepscore.types import SolutionRequest
from stepscore_service.batching.batcher import Batcher
from stepscore_service.batching.protocols import ScoredSolution
from stepscore_service.batching.worker import ForwardResult
from stepscore_service.serving.admission import Admission

FORWARD = 4
"""Solutions that fill a forward."""


class PipelinedScorer(HeldScorer):
    """launched: the texts of each forward, when it was started. full: launches of more solutions fail.

    breaks: raised by the second launch.
    """

    info = replace(INFO, max_batch_tokens=FORWARD * BIT, in_flight=2)
    full = 100
    breaks: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[list[str]] = []
        self.second = threading.Event()

    def launch(self, works: Sequence[Work]) -> Callable[[], list[ForwardResult]]:
        if len(works) > self.full:
            raise OutOfMemory("too many")
        self.launched.append([bytes(work.encoded.sequences[0].ids).decode().strip() for work in works])
        if len(self.launched) == 2:
            self.second.set()
            if self.breaks is not None:
                raise self.breaks
        return lambda: self.advance(works)


def of(count: int, text: str = "a") -> list[SolutionRequest]:
    return [SolutionRequest("p", (text,)) for _ in range(count)]


async def submit(scorer: PipelinedScorer, *counts: int) -> tuple[list[float], Counted]:
    """The rewards of requests of so many solutions, all sent while the first forward is held."""
    meter = Counted()
    batcher = Batcher(scorer, meter, admission=Admission(10_000))
    scorer.free.clear()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(batcher.submit(of(1)))
        await asyncio.to_thread(scorer.entered.wait, 10)
        others = [tasks.create_task(batcher.submit(of(count, "ab"))) for count in counts]
        while batcher.waiting_requests < len(counts):  # noqa: ASYNC110 - it waits for what another thread does
            await asyncio.sleep(0.005)
        scorer.free.set()
    await batcher.close()
    outcomes = [each for task in (first, *others) for each in task.result()]
    return [each.reading.rewards[0] for each in outcomes if isinstance(each, ScoredSolution)], meter


async def test_full_forwards_follow_each_other_without_a_gap() -> None:
    scorer = PipelinedScorer()
    rewards, meter = await submit(scorer, 6, 6)
    assert rewards == [0.01] + [0.02] * 12
    order = [len(texts) for texts in scorer.launched]
    assert order == [1, 4, 4, 4]
    assert meter.batches == order


async def test_a_full_second_forward_is_started_while_the_first_one_runs() -> None:
    scorer = PipelinedScorer()
    batcher = Batcher(scorer, Counted(), admission=Admission(10_000))
    scorer.free.clear()
    async with asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(batcher.submit(of(9)))
        assert await asyncio.to_thread(scorer.second.wait, 10), "although no forward has ended"
        assert await asyncio.to_thread(scorer.entered.wait, 10)
        assert [len(texts) for texts in scorer.launched] == [4, 4]
        scorer.free.set()
    assert len(answer.result()) == 9
    assert [len(texts) for texts in scorer.launched] == [4, 4, 1]
    await batcher.close()


async def test_what_does_not_fill_a_forward_waits_for_company() -> None:
    scorer = PipelinedScorer()
    await submit(scorer, 1, 1, 1)
    assert [len(texts) for texts in scorer.launched] == [1, 3]


async def test_a_forward_ahead_that_does_not_fit_into_memory_is_computed_in_halves() -> None:
    scorer = PipelinedScorer()
    scorer.full = 3
    rewards, meter = await submit(scorer, 4, 4)
    assert rewards == [0.01] + [0.02] * 8
    assert meter.failures == ["out_of_memory", "out_of_memory"]


async def two_in_flight(scorer: PipelinedScorer, batcher: Batcher, *counts: int) -> list[asyncio.Task[list[object]]]:
    """Requests of so many solutions, of which two forwards are started; the first one is held."""
    scorer.free.clear()
    tasks = [asyncio.create_task(batcher.submit(of(count))) for count in counts]
    assert await asyncio.to_thread(scorer.second.wait, 10)
    assert await asyncio.to_thread(scorer.entered.wait, 10)
    return tasks


async def test_a_defect_at_the_start_of_a_second_forward_is_an_error_of_its_solutions_alone() -> None:
    scorer, meter = PipelinedScorer(), Counted()
    scorer.breaks = ZeroDivisionError("a defect")
    batcher = Batcher(scorer, meter, admission=Admission(10_000))
    (task,) = await two_in_flight(scorer, batcher, 9)
    scorer.free.set()
    outcomes = await task
    assert [type(each) for each in outcomes] == [ScoredSolution] * 4 + [EngineError] * 4 + [ScoredSolution]
    assert len(await batcher.submit(of(3))) == 3, "the engine goes on"
    await batcher.close()


async def test_an_error_at_the_start_of_a_second_forward_is_tried_again_one_by_one() -> None:
    scorer, meter = PipelinedScorer(), Counted()
    scorer.breaks = EngineError("not now")
    batcher = Batcher(scorer, meter, admission=Admission(10_000))
    (task,) = await two_in_flight(scorer, batcher, 8)
    scorer.free.set()
    assert [type(each) for each in await task] == [ScoredSolution] * 8
    assert [len(texts) for texts in scorer.batches] == [4, 1, 1, 1, 1]
    assert meter.failures == ["engine_failed"]
    await batcher.close()


async def test_who_hangs_up_while_two_forwards_run_costs_no_third() -> None:
    scorer, meter = PipelinedScorer(), Counted()
    batcher = Batcher(scorer, meter, admission=Admission(10_000))
    (task,) = await two_in_flight(scorer, batcher, 12)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scorer.free.set()
    await batcher.close()
    assert [len(texts) for texts in scorer.launched] == [4, 4]
    assert meter.skips == {"departed": 4}


async def test_a_service_that_closes_finishes_both_forwards_before_it_frees_the_model() -> None:
    scorer, meter = PipelinedScorer(), Counted()
    batcher = Batcher(scorer, meter, admission=Admission(10_000))
    (task,) = await two_in_flight(scorer, batcher, 8)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0.05)
    assert not scorer.closed
    scorer.free.set()
    await closing
    assert scorer.closed
    assert len(await task) == 8
    assert meter.batches == [4, 4]


async def test_a_hung_forward_is_noticed_while_another_waits_for_it() -> None:
    scorer = PipelinedScorer()
    batcher = Batcher(scorer, Counted(), admission=Admission(10_000), max_forward_seconds=0.1)
    (task,) = await two_in_flight(scorer, batcher, 8)
    await asyncio.sleep(0.2)
    assert batcher.fault() is not None
    with pytest.raises(EngineDead):
        await task
    scorer.free.set()
    await batcher.close()


async def test_a_defect_of_the_batcher_ends_the_engine_and_tells_who_waits() -> None:
    scorer = PipelinedScorer()
    batcher = Batcher(scorer, Unmeasured(), admission=Admission(10_000))
    with pytest.raises(EngineDead, match="the batcher broke"):
        await batcher.submit(of(1))
    assert batcher.fault() is not None
    await batcher.close()


class Unmeasured(Counted):
    """Breaks when a forward has ended."""

    def count_forward(self, solutions: int, tokens: int, seconds: float) -> None:
        raise ZeroDivisionError("a defect")
