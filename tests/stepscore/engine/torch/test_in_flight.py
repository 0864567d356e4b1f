"""Two forwards in flight: one is planned over what another keeps before that one's numbers are there."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import engine_case as case
from stepscore.config import CheckpointFacts
from stepscore.engine.protocol import Work
from stepscore.engine.torch.engine import TorchEngine
from stepscore.engine.torch.host_copy import HostCopy
from stepscore.errors import EngineDead, EngineError, OutOfMemory
from stepscore.types import EncodedSolution, Values

SEEDS = st.integers(0, 10_000)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFacts:
    return case.write(tmp_path_factory.mktemp("in_flight"))


@pytest.fixture(scope="module")
def exact(facts: CheckpointFacts) -> TorchEngine:
    return case.engine(facts, kv_cache_bytes=0)


def pipelined(facts: CheckpointFacts, slots: int = 500, **options: object) -> TorchEngine:
    """On a CPU the first forward has run when the second is planned; its numbers are delivered late all the same."""
    bytes_of_token = 2 * 3 * 2 * 8 * 4
    engine = case.engine(facts, kv_cache_bytes=slots * bytes_of_token, **options)
    engine.info = replace(engine.info, in_flight=2)
    return engine


def pairwise_of(sequences: list[case.Encoded]) -> Iterable[tuple[case.Encoded, case.Encoded]]:
    return zip(sequences[::2], sequences[1::2], strict=True)


def nothing_locked(engine: TorchEngine) -> bool:
    assert engine._tree is not None
    return not any(node.locks for node in engine._tree.nodes())


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, slots=st.sampled_from([0, 40, 150, 1000]))
def test_calls_of_many_forwards_give_the_numbers_of_one_forward(
    facts: CheckpointFacts, exact: TorchEngine, seed: int, slots: int
) -> None:
    engine = pipelined(facts, slots, max_batch_tokens=30)
    for part in range(2):
        batch = case.batch(seed + part, size=12)
        case.assert_close(engine.forward(batch), exact.forward(batch))
    assert nothing_locked(engine)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, slots=st.sampled_from([60, 200, 1000]), purged=st.booleans())
def test_works_in_two_forwards_at_a_time_give_the_numbers_of_one_forward(
    facts: CheckpointFacts, exact: TorchEngine, seed: int, slots: int, purged: bool
) -> None:
    engine, chance = pipelined(facts, slots), random.Random(seed)
    sequences = case.batch(seed, size=14)
    works = [Work(EncodedSolution((one, other), steps=1)) for one, other in pairwise_of(sequences)]
    idle = list(works)
    running: deque[tuple[list[Work], Callable[[], None]]] = deque()
    while idle or running:
        if idle and len(running) < 2:
            chosen = [idle.pop(chance.randrange(len(idle))) for _ in range(chance.randint(1, len(idle)))]
            for work in chosen:
                work.token_budget = chance.choice([3, 10, 40, 200])
            running.append((chosen, engine.launch(chosen)))
        else:
            if purged and chance.random() < 0.3:
                engine.purge()
            chosen, finish = running.popleft()
            finish()
            idle += [work for work in chosen if not work.finished]
    case.assert_close([each for work in works for each in work.outputs], exact.forward(sequences))
    assert nothing_locked(engine)


def every_slot_is_in_one_place(engine: TorchEngine) -> bool:
    tree = engine._tree
    assert tree is not None
    kept = [int(slot) for node in tree.nodes() if node.slots is not None for slot in node.slots]
    free = tree._pool._free[: tree._pool.available].tolist()
    return sorted([*kept, *free]) == list(range(tree.capacity))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, slots=st.sampled_from([20, 60, 150, 500]), finite=st.booleans())
def test_no_slot_is_lost_or_given_twice_whatever_fails_or_is_cancelled(
    facts: CheckpointFacts, exact: TorchEngine, seed: int, slots: int, finite: bool
) -> None:
    """sglang#6778, vllm#50283: blocks that leak after errors, and numbers that are not finite in what is shared."""
    engine, chance = pipelined(facts, slots), random.Random(seed)
    decoder, broken = engine.models[0].decoder, case.VOCABULARY - 1
    decoder.embedding[broken] = decoder.embedding[broken] if finite else float("nan")
    attention_for = decoder.attention_for
    sequences = [replace(each, cache_salt=chance.choice("ab")) for each in case.batch(seed, size=14, longest=30)]
    works = [Work(EncodedSolution((one, other), steps=1)) for one, other in pairwise_of(sequences)]
    idle, running = list(works), deque[tuple[list[Work], Callable[[], None]]]()
    for _ in range(400):
        if idle and len(running) < 2 and chance.random() < 0.6:
            chosen = [idle.pop(chance.randrange(len(idle))) for _ in range(chance.randint(1, len(idle)))]
            for work in chosen:
                work.token_budget = chance.choice([2, 5, 20, 100])
            decoder.attention_for = chance.choice([attention_for] * 5 + [_no_memory, _broken])
            try:
                running.append((chosen, engine.launch(chosen)))
            except EngineError:
                idle += chosen
        elif running:
            chosen, finish = running.popleft()
            finish()
            idle += [work for work in chosen if not work.finished]
        if chance.random() < 0.1:
            engine.purge()
        if idle and chance.random() < 0.05:
            engine.release(idle.pop())
        assert running or every_slot_is_in_one_place(engine)
        if not (idle or running):
            break
    assert not idle, "all of it ends"
    assert not running
    assert nothing_locked(engine)
    done = [pair for work in works for pair in zip(work.encoded.sequences, work.outputs, strict=False)]
    sound = [(sequence, values) for sequence, values in done if np.isfinite(values).all()]
    assert finite <= (len(sound) == len(done))
    if sound:
        case.assert_close([values for _, values in sound], exact.forward([sequence for sequence, _ in sound]))


def test_the_second_forward_computes_nothing_that_the_first_one_keeps(facts: CheckpointFacts) -> None:
    engine = pipelined(facts)
    prompt = tuple(range(20))
    works = [Work(EncodedSolution((case.Encoded((*prompt, last), (20,)),), 1), token_budget=100) for last in (50, 51)]
    first, second = (engine.launch([work]) for work in works)
    assert engine.counts().computed == 22
    first()
    second()
    assert all(work.finished for work in works)


def test_a_second_forward_that_cannot_be_started_leaves_the_first_one_alone(
    facts: CheckpointFacts, exact: TorchEngine
) -> None:
    engine = pipelined(facts)
    (one, other) = case.batch(5, size=2)
    works = [Work(EncodedSolution((each,), 1), token_budget=100) for each in (one, other)]
    first = engine.launch(works[:1])
    decoder = engine.models[0].decoder
    attention_for, decoder.attention_for = decoder.attention_for, _no_memory
    with pytest.raises(OutOfMemory):
        engine.launch(works[1:])
    decoder.attention_for = attention_for
    first()
    engine.advance(works[1:])
    case.assert_close([work.outputs[0] for work in works], exact.forward([one, other]))
    assert nothing_locked(engine)


def test_a_call_that_runs_out_of_memory_with_a_forward_in_flight_is_answered_in_halves(
    facts: CheckpointFacts, exact: TorchEngine
) -> None:
    engine = pipelined(facts, 1000, max_batch_tokens=200)
    attention_for = engine.models[0].decoder.attention_for
    forwards: list[int] = []

    def small(inputs, pool, dtype):
        forwards.append(len(inputs.packed.ids))
        return (_no_memory if len(forwards) > 1 and forwards[-1] > 100 else attention_for)(inputs, pool, dtype)

    engine.models[0].decoder.attention_for = small
    batch = case.batch(6, size=30, shared=2)
    case.assert_close(engine.forward(batch), exact.forward(batch))
    assert max(forwards[1:]) > 100 >= forwards[-1]


def test_a_call_that_fails_with_a_forward_in_flight_leaves_no_trace(facts: CheckpointFacts, exact: TorchEngine) -> None:
    engine = pipelined(facts, 1000, max_batch_tokens=100)
    decoder = engine.models[0].decoder
    attention_for, forwards = decoder.attention_for, list[int]()

    def second_fails(inputs, pool, dtype):
        forwards.append(len(inputs.packed.ids))
        return (_broken if len(forwards) == 2 else attention_for)(inputs, pool, dtype)

    decoder.attention_for = second_fails
    batch = case.batch(7, size=30, shared=2)
    with pytest.raises(EngineError, match="shapes do not match"):
        engine.forward(batch)
    assert len(forwards) == 2
    assert nothing_locked(engine)
    case.assert_close(engine.forward(batch), exact.forward(batch))


def test_a_device_that_fails_under_two_forwards_fails_both_and_what_they_kept_is_forgotten(
    facts: CheckpointFacts, exact: TorchEngine
) -> None:
    engine = pipelined(facts, 1000)
    batch = case.batch(8, size=2)
    works = [Work(EncodedSolution((each,), 1), token_budget=100) for each in batch]
    started = [cast("partial[None]", engine.launch([work])) for work in works]
    assert engine.counts().kept
    for chunks, _, rows in (finish.args for finish in started):
        with pytest.raises(EngineDead):
            engine._finish(chunks, LostCopy(torch.empty(0)), rows)
    assert engine.counts().kept == 0
    case.assert_close(engine.forward(batch), exact.forward(batch))
    assert nothing_locked(engine)


class LostCopy(HostCopy):
    """Numbers of a device that failed on the way to them."""

    def wait(self) -> Values:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def _broken(*inputs: object) -> None:
    raise RuntimeError("shapes do not match")


def _no_memory(*inputs: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


def test_a_cpu_has_one_forward_at_a_time(tmp_path: Path) -> None:
    assert case.engine(case.write(tmp_path)).info.in_flight == 1
