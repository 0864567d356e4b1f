"""The batcher over a scorer whose forwards can be held, counted and broken."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from held_scorer import BIT, Counted, HeldScorer
from stepscore.errors import EngineError
from stepscore.types import EncodedSolution, Solution, SolutionRequest
from stepscore_service.batching.batcher import Batcher
from stepscore_service.batching.protocols import RequestContext, ScoredSolution, SolutionOutcome
from stepscore_service.errors import DeadlineExceeded, Draining, Overloaded, TooManyTokens
from stepscore_service.serving.admission import Admission


@asynccontextmanager
async def run_batcher(scorer: HeldScorer, **options: int) -> AsyncIterator[tuple[Batcher, Counted]]:
    meter = Counted()
    admission = Admission(options.pop("max_queue_tokens", 1000))
    batcher = Batcher(scorer, meter, admission=admission, **options)
    try:
        yield batcher, meter
    finally:
        scorer.free.set()
        await batcher.close()


def of(*texts: str) -> list[SolutionRequest]:
    return [SolutionRequest("p", (text,)) for text in texts]


def rewards(outcomes: Sequence[SolutionOutcome]) -> list[float | str]:
    return [o.reading.rewards[0] if isinstance(o, ScoredSolution) else o.code for o in outcomes]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - it waits for what another thread does
            await asyncio.sleep(0.005)


async def test_answers_keep_their_order_and_errors_their_place() -> None:
    async with run_batcher(HeldScorer()) as (batcher, _):
        found = await batcher.submit(of("a", " ", "bad", "abc"))
    assert rewards(found) == [0.01, "empty_step", "unscorable", 0.03]


async def test_a_text_is_split_off_the_event_loop_and_carries_its_spans() -> None:
    text = "one\ntwo"
    threads = []

    class Noting(HeldScorer):
        def encode(self, solution: Solution) -> EncodedSolution:
            threads.append(threading.current_thread().name)
            return super().encode(solution)

    async with run_batcher(Noting()) as (batcher, _):
        (scored,) = await batcher.submit([SolutionRequest("p", text, "lines")])
    assert isinstance(scored, ScoredSolution)
    assert [text[start:end] for start, end in scored.split.spans] == list(scored.split.solution.steps) == ["one", "two"]
    assert [name.startswith("encode") for name in threads] == [True]


async def test_more_characters_than_the_limit_are_not_even_split() -> None:
    async with run_batcher(HeldScorer(), max_characters=5) as (batcher, _):
        found = await batcher.submit([SolutionRequest("p", "12345"), SolutionRequest("p", ("1234",))])
    assert rewards(found) == ["too_many_characters", 0.04]


async def test_nothing_asked_is_nothing_answered() -> None:
    async with run_batcher(HeldScorer()) as (batcher, _):
        assert await batcher.submit([]) == []


async def test_what_queues_up_behind_a_forward_goes_together() -> None:
    scorer = HeldScorer()
    async with run_batcher(scorer) as (batcher, meter):
        scorer.free.clear()
        first = asyncio.create_task(batcher.submit(of("first")))
        await until(scorer.entered.is_set)
        rest = [asyncio.create_task(batcher.submit(of(text))) for text in "abcdefgh"]
        await until(lambda: batcher.waiting_requests == 8)
        assert batcher.waiting_tokens == 8 * BIT
        scorer.free.set()
        assert [rewards(await task) for task in (first, *rest)] == [[0.05], *[[0.01]] * 8]
    assert meter.batches == [1, 8]


async def test_a_solution_that_breaks_the_forward_fails_alone() -> None:
    def fragile(texts: Sequence[str]) -> None:
        if "poison" in texts:
            raise EngineError("out of memory")

    scorer = HeldScorer(fragile)
    async with run_batcher(scorer) as (batcher, _):
        found = await batcher.submit(of("a", "poison", "abc"))
    assert rewards(found) == [0.01, "engine_failed", 0.03]
    assert scorer.batches == [["a", "poison", "abc"], ["a"], ["poison"], ["abc"]]


async def test_a_defect_is_told_and_the_batcher_lives() -> None:
    def broken(texts: Sequence[str]) -> None:
        if texts == ["x"]:
            raise ZeroDivisionError

    async with run_batcher(HeldScorer(broken)) as (batcher, _):
        assert rewards(await batcher.submit(of("x"))) == ["engine_failed"]
        assert rewards(await batcher.submit(of("ab"))) == [0.02]


async def test_who_hangs_up_costs_no_forward() -> None:
    scorer = HeldScorer()
    async with run_batcher(scorer) as (batcher, meter):
        scorer.free.clear()
        running = asyncio.create_task(batcher.submit(of("running")))
        await until(scorer.entered.is_set)
        leaving = asyncio.create_task(batcher.submit(of("leaving", "leaving")))
        staying = asyncio.create_task(batcher.submit(of("staying")))
        await until(lambda: batcher.waiting_requests == 2)
        leaving.cancel()
        await until(lambda: batcher.waiting_requests == 1)
        scorer.free.set()
        await asyncio.gather(running, staying)
        assert leaving.cancelled()
    assert scorer.batches == [["running"], ["staying"]]
    assert meter.skips == {"departed": 2}


async def test_a_missed_deadline_is_an_error_and_costs_no_forward() -> None:
    scorer = HeldScorer()
    async with run_batcher(scorer) as (batcher, _):
        scorer.free.clear()
        running = asyncio.create_task(batcher.submit(of("running")))
        await until(scorer.entered.is_set)
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(of("late"), RequestContext(time.monotonic() + 0.05))
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(of("too late"), RequestContext(time.monotonic() - 1))
        scorer.free.set()
        await running
    assert scorer.batches == [["running"]]


async def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    scorer = HeldScorer()
    async with run_batcher(scorer, max_queue_tokens=3 * BIT) as (batcher, _):
        scorer.free.clear()
        running = asyncio.create_task(batcher.submit(of("running")))
        await until(scorer.entered.is_set)
        waiting = [asyncio.create_task(batcher.submit(of("a"))) for _ in range(3)]
        await until(lambda: batcher.waiting_requests == 3)
        with pytest.raises(Overloaded) as caught:
            await batcher.submit(of("b"))
        assert caught.value.detail["queued_tokens"] == 3 * BIT
        assert 1 <= caught.value.detail["retry_after_seconds"] <= 60
        with pytest.raises(Overloaded):
            await batcher.submit(of("b", "c"))
        scorer.free.set()
        await asyncio.gather(running, *waiting)
        assert rewards(await batcher.submit(of("bb"))) == [0.02]


async def test_a_request_larger_than_the_queue_is_refused_for_good() -> None:
    async with run_batcher(HeldScorer(), max_queue_tokens=3 * BIT) as (batcher, _):
        with pytest.raises(TooManyTokens) as caught:
            await batcher.submit(of("a", "b", "c", "d"))
    assert caught.value.detail == {"tokens": 4 * BIT, "limit": 3 * BIT}


async def test_a_limit_of_solutions_turns_batching_off() -> None:
    async with run_batcher(HeldScorer(), max_solutions=1) as (batcher, meter):
        await batcher.submit(of("a", "b", "c"))
    assert meter.batches == [1, 1, 1]


async def test_a_large_request_does_not_hold_up_a_small_one() -> None:
    scorer = HeldScorer()
    async with run_batcher(scorer) as (batcher, _):
        scorer.free.clear()
        large = asyncio.create_task(batcher.submit(of(*["large"] * 50)))
        await until(scorer.entered.is_set)
        small = asyncio.create_task(batcher.submit(of("small")))
        await until(lambda: batcher.waiting_requests == 2)
        scorer.free.set()
        await asyncio.gather(small, large)
    assert "small" in scorer.batches[1]
    assert len(scorer.batches) >= 5


async def test_draining_finishes_what_is_there_and_takes_nothing_new() -> None:
    scorer = HeldScorer()
    async with run_batcher(scorer) as (batcher, _):
        scorer.free.clear()
        running = asyncio.create_task(batcher.submit(of("running")))
        await until(scorer.entered.is_set)
        draining = asyncio.create_task(batcher.drain(5))
        await asyncio.sleep(0.01)
        with pytest.raises(Draining):
            await batcher.submit(of("new"))
        scorer.free.set()
        await draining
        assert rewards(await running) == [0.07]
    assert scorer.closed


async def test_what_does_not_finish_in_time_is_told_so() -> None:
    scorer = HeldScorer()
    async with run_batcher(scorer) as (batcher, _):
        scorer.free.clear()
        running = asyncio.create_task(batcher.submit(of("running")))
        await until(scorer.entered.is_set)
        await batcher.drain(0.05)
        with pytest.raises(Draining):
            await running


async def test_mixed_concurrent_calls_all_get_their_own_answers() -> None:
    async with run_batcher(HeldScorer(), max_queue_tokens=10_000) as (batcher, meter):
        texts = [["x" * (1 + (7 * call + item) % 9) for item in range(call % 5)] for call in range(60)]
        found = await asyncio.gather(*(batcher.submit(of(*each)) for each in texts))
    assert [rewards(each) for each in found] == [[len(text) / 100 for text in each] for each in texts]
    assert sum(meter.batches) == sum(map(len, texts)) > len(meter.batches)
