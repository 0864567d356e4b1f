"""Forwards that fail: out of memory, a device that is gone, a forward that never ends."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from held_scorer import INFO, Counted, HeldScorer
from service_case import PROBLEM, STEPS, connect, fake_scorer, live
from stepscore.engine.protocol import Work
from stepscore.engine.torch.failures import engine_error
from stepscore.errors import EngineDead, EngineError, OutOfMemory
from stepscore.types import Encoded, EncodedSolution, Reading, SolutionRequest
from stepscore_service.batching.batcher import Batcher
from stepscore_service.batching.protocols import ScoredSolution, SolutionOutcome
from stepscore_service.batching.worker import ForwardResult, forward
from stepscore_service.serving.admission import Admission


def of(*texts: str) -> list[SolutionRequest]:
    return [SolutionRequest("p", (text,)) for text in texts]


def codes(outcomes: Sequence[SolutionOutcome]) -> list[float | str]:
    return [o.reading.rewards[0] if isinstance(o, ScoredSolution) else o.code for o in outcomes]


def at_most(count: int, poison: str = "") -> Callable[[Sequence[str]], None]:
    """Memory for so many solutions; none for the poison."""

    def check(texts: Sequence[str]) -> None:
        if len(texts) > count or poison in texts:
            raise engine_error(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), len(texts))

    return check


async def test_a_batch_that_does_not_fit_into_memory_is_run_in_halves() -> None:
    scorer, metrics = HeldScorer(at_most(2)), Counted()
    batcher = Batcher(scorer, metrics, admission=Admission(1000))
    assert codes(await batcher.submit(of("a", "bb", "ccc", "dddd", "eeeee"))) == [0.01, 0.02, 0.03, 0.04, 0.05]
    assert [len(texts) for texts in scorer.batches] == [5, 2, 3, 1, 2]
    assert metrics.failures == ["out_of_memory", "out_of_memory"]
    await batcher.close()


async def test_a_solution_that_never_fits_fails_alone() -> None:
    batcher = Batcher(HeldScorer(at_most(9, "x")), Counted(), admission=Admission(1000))
    assert codes(await batcher.submit(of("a", "x", "ccc"))) == [0.01, "out_of_memory", 0.03]
    assert batcher.fault() is None
    await batcher.close()


def test_a_solution_that_may_be_chunked_is_tried_with_smaller_chunks() -> None:
    budgets = []

    class Tight(HeldScorer):
        info = replace(INFO, chunked=True)

        def advance(self, works: Sequence[Work]) -> list[ForwardResult]:
            budgets.append(works[0].token_budget)
            if works[0].token_budget > 300:
                raise OutOfMemory("does not fit")
            return [Reading((0.5,))]

    solution = EncodedSolution((Encoded((7,) * 1000, (999,)),), steps=1)
    assert forward(Tight(), [Work(solution, 1000)]) == [Reading((0.5,))]
    assert budgets == [1000, 500, 250]


def test_the_tensors_of_a_failed_forward_are_dropped_before_the_next() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    class Leaky(HeldScorer):
        def advance(self, works: Sequence[Work]) -> list[ForwardResult]:
            gc.collect()
            assert all(each() is None for each in held), "the retry runs beside what failed"
            if len(works) > 1:
                self._compute()
            return [Reading((0.5,))]

        def _compute(self) -> None:
            activations = torch.zeros(8)
            held.append(weakref.ref(activations))
            try:
                raise torch.OutOfMemoryError("CUDA out of memory")
            except RuntimeError as error:
                raise engine_error(error, 8) from error

    solution = EncodedSolution((Encoded((7,), (0,)),), steps=1)
    assert forward(Leaky(), [Work(solution), Work(solution)]) == [Reading((0.5,)), Reading((0.5,))]
    assert len(held) == 1


@pytest.mark.parametrize("reason", ["CUDA error: an illegal memory access was encountered", "device-side assert"])
async def test_a_device_that_failed_for_good_is_tried_no_more(reason: str) -> None:
    def broken(texts: Sequence[str]) -> None:
        raise engine_error(RuntimeError(f"{reason}\nmore"), 1)

    scorer = HeldScorer(broken)
    batcher = Batcher(scorer, Counted(), admission=Admission(1000))
    assert codes(await batcher.submit(of("a", "b"))) == ["engine_dead", "engine_dead"]
    fault = batcher.fault()
    assert fault is not None
    assert reason in fault
    with pytest.raises(EngineDead):
        await batcher.submit(of("c"))
    assert len(scorer.batches) == 1
    await batcher.close()


def test_other_errors_are_not_for_good() -> None:
    assert type(engine_error(RuntimeError("shapes do not match"), 1)) is EngineError


async def test_a_forward_that_hangs_is_noticed_and_who_waits_is_told() -> None:
    scorer = HeldScorer()
    scorer.free.clear()
    batcher = Batcher(scorer, Counted(), admission=Admission(1000), max_forward_seconds=0.1)
    running = asyncio.create_task(batcher.submit(of("a")))
    assert await asyncio.to_thread(scorer.entered.wait, 5)
    assert batcher.fault() is None
    await asyncio.sleep(0.2)
    assert batcher.fault() is not None
    with pytest.raises(EngineDead):
        await running
    scorer.free.set()
    await batcher.close()


def test_liveness_fails_when_only_a_restart_helps(folder: Path) -> None:
    def broken(batch: Sequence[Encoded]) -> None:
        raise EngineDead("the device failed for good")

    one = {"problem": PROBLEM, "steps": STEPS}
    with live({"fake": fake_scorer(folder, before_forward=broken)}) as url, connect(url) as http:
        assert http.get("/health/live").is_success
        dead = http.post("/score", json=one)
        assert (dead.status_code, dead.json()["code"]) == (503, "engine_dead")
        for path in ("/health/live", "/health/ready"):
            assert (http.get(path).status_code, http.get(path).json()) == (
                503,
                {"state": "dead", "engines": 1, "engines_working": 0},
            )
        began = time.monotonic()
        assert http.post("/score", json=one).status_code == 503
        assert time.monotonic() - began < 5
