"""An engine in a process of its own gives the numbers, the costs and the errors of one in this process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import engine_case as case
from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.process.engine import KnownPrefixes, ProcessEngine
from stepscore.engine.process.open import open_process_engines, share_of
from stepscore.engine.protocol import Work
from stepscore.engine.torch.memory import memory_at_hand
from stepscore.errors import CheckpointError, EngineDead, NotEnoughMemory, TooLong, UnsupportedByEngine
from stepscore.types import Encoded, EncodedSolution

OPTIONS = EngineOptions(device="cpu", dtype="float32", kv_cache_bytes=1 << 20)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFacts:
    return case.write(tmp_path_factory.mktemp("process"))


@pytest.fixture(scope="module")
def remote(facts: CheckpointFacts) -> Iterator[ProcessEngine]:
    (engine,) = open_process_engines(facts, case.CLASS_HEAD, OPTIONS, "torch", 1)
    yield engine
    engine.close()
    assert engine.fault() is not None


def whole(encoded: Encoded, *more: Encoded) -> Work:
    return Work(EncodedSolution((encoded, *more), steps=1))


def test_forwards_and_costs_are_those_of_an_engine_in_this_process(
    remote: ProcessEngine, facts: CheckpointFacts
) -> None:
    local = case.engine(facts, kv_cache_bytes=1 << 20)
    remote.purge()
    before = remote.counts()
    for seed in range(4):
        batch = case.batch(seed, size=12)
        assert [remote.cost(each) for each in batch] == [local.cost(each) for each in batch]
        case.assert_close(remote.forward(batch), local.forward(batch))
    assert remote.counts().computed - before.computed == local.counts().computed
    assert remote.counts().kept == local.counts().kept > 0
    assert remote.info == local.info


def test_works_advance_in_parts_as_in_this_process(remote: ProcessEngine, facts: CheckpointFacts) -> None:
    local = case.engine(facts, kv_cache_bytes=1 << 20)
    remote.purge()
    batch = [case.batch(seed, size=1, longest=60, shared=0)[0] for seed in (3, 4, 5)]
    pairs = [(whole(*batch[:2]), whole(*batch[:2])), (whole(batch[2]), whole(batch[2]))]
    while not all(here.finished for _, here in pairs):
        for there, here in pairs:
            there.token_budget = here.token_budget = 11
        going = [pair for pair in pairs if not pair[1].finished]
        remote.advance([there for there, _ in going])
        local.advance([here for _, here in going])
        for there, here in going:
            assert len(there.outputs) == len(here.outputs)
            assert (there.cursor is None) == (here.cursor is None)
            if not here.finished:
                left = here.remaining.sequences[0]
                assert remote.cost(left) == local.cost(left)
    for there, here in pairs:
        case.assert_close(there.outputs, here.outputs)


def test_a_released_work_can_begin_anew(remote: ProcessEngine) -> None:
    encoded = Encoded(tuple(range(40, 60)), (4, 19))
    work = whole(encoded)
    work.token_budget = 3
    remote.advance([work])
    assert work.cursor is not None
    remote.release(work)
    assert work.cursor is None
    work.token_budget = 100
    remote.advance([work])
    case.assert_close(work.outputs, remote.forward([encoded]))


def test_an_error_crosses_over_and_the_next_call_works(remote: ProcessEngine, facts: CheckpointFacts) -> None:
    too_long = Encoded((1,) * (facts.max_tokens + 1), (0,))
    with pytest.raises(TooLong, match="1 more than") as caught:
        remote.forward([too_long])
    assert caught.value.detail["excess"] == 1
    assert len(remote.forward(case.batch(1))) == 8


def test_a_killed_process_is_an_error_for_whoever_waits_and_can_be_opened_again(facts: CheckpointFacts) -> None:
    (engine,) = open_process_engines(facts, case.CLASS_HEAD, OPTIONS, "torch", 1)
    batch = case.batch(2)
    wanted = engine.forward(batch)
    os.kill(engine.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(engine.forward, case.batch(3))
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineDead, match="ended by signal 9"):
            waiting.result(30)
    assert "signal 9" in str(engine.fault())
    with pytest.raises(EngineDead):
        engine.forward(batch)
    engine.close()
    again = engine.again()
    case.assert_close(again.forward(batch), wanted)
    again.close()


def test_a_process_that_is_being_opened_in_anothers_place_can_be_given_up(facts: CheckpointFacts) -> None:
    (engine,) = open_process_engines(facts, case.CLASS_HEAD, OPTIONS, "torch", 1)
    engine.kill()
    with ThreadPoolExecutor(1) as caller:
        opening = caller.submit(engine.again)
        time.sleep(0.2)
        engine.abandon()
        with pytest.raises(EngineDead, match="ended by signal 9"):
            opening.result(10)
    with pytest.raises(EngineDead):
        engine.again()


def test_what_cannot_be_opened_is_the_same_error_as_in_this_process(tmp_path: Path, facts: CheckpointFacts) -> None:
    broken = case.write(tmp_path / "headless", head=False)
    with pytest.raises(CheckpointError, match=r"score\.0"):
        open_process_engines(broken, case.CLASS_HEAD, OPTIONS, "torch", 1)
    with pytest.raises(UnsupportedByEngine, match="data-parallel-size 2"):
        open_process_engines(facts, case.CLASS_HEAD, OPTIONS, "vllm:http://127.0.0.1:1", 2)


def test_engines_that_do_not_fit_together_are_refused_before_a_process_starts(facts: CheckpointFacts) -> None:
    """Each alone would fit."""
    at_hand = memory_at_hand(torch.device("cpu"))
    assert at_hand is not None
    large = replace(OPTIONS, kv_cache_bytes=at_hand // 3)
    with pytest.raises(NotEnoughMemory, match=r"4 engines over .* fewer engines \(--data-parallel\)"):
        open_process_engines(facts, case.CLASS_HEAD, large, "torch", 4)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_process_that_finds_no_gpu_does_not_choose_the_cpu_for_itself(device: str) -> None:
    share = share_of(EngineOptions(device="auto"), 2, torch.device(device))
    assert share.device == device
    assert share.threads == max(1, torch.get_num_threads() // 2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), left=st.integers(0, 5))
def test_the_estimate_after_a_part_is_what_is_left(seed: int, left: int) -> None:
    (encoded,) = case.batch(seed, size=1, longest=40)
    needed = encoded.reads[-1] + 1
    left = min(left, needed)
    known = KnownPrefixes(1000)
    known.add(encoded, left)
    assert known.cost(encoded) == left
    known.clear()
    assert known.cost(encoded) == needed
