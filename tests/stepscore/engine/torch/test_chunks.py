"""Sequences computed chunk by chunk: the same numbers, no token twice, held in between and let go afterwards."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import engine_case as case
from stepscore.config import CheckpointFacts
from stepscore.engine.protocol import Work
from stepscore.engine.torch.engine import TorchEngine
from stepscore.errors import EngineError
from stepscore.types import Encoded, EncodedSolution

TINY_KV_BYTES = 2 * 3 * 2 * 8 * 4
CHUNK = 50


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFacts:
    return case.write(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def alone(facts: CheckpointFacts) -> TorchEngine:
    return case.engine(facts, mode="invariant")


def sequence(seed: int, tokens: int) -> Encoded:
    chance = random.Random(seed)
    ids = tuple(chance.randrange(case.VOCABULARY) for _ in range(tokens))
    return Encoded(ids, (*range(9, tokens - 1, 10), tokens - 1))


def work(*sequences: Encoded) -> Work:
    return Work(EncodedSolution(sequences, steps=len(sequences)))


def run(engine: TorchEngine, *works: Work, chunk: int = CHUNK) -> int:
    """Chunks for one work after the other, until all are finished; the number of forwards."""
    forwards = 0
    while waiting := [each for each in works if not each.finished]:
        each = waiting[forwards % len(waiting)]
        each.token_budget = chunk
        before = engine.counts().computed
        engine.advance([each])
        assert engine.counts().computed - before <= chunk
        forwards += 1
    return forwards


@pytest.mark.parametrize("lengths", [(1,), (49,), (50,), (51,), (170,), (30, 170, 30)])
def test_chunks_give_the_numbers_of_one_forward(
    facts: CheckpointFacts, alone: TorchEngine, lengths: tuple[int, ...]
) -> None:
    sequences = [sequence(seed, tokens) for seed, tokens in enumerate(lengths)]
    engine, whole = case.engine(facts), work(*sequences)
    forwards = run(engine, whole)
    case.assert_close(whole.outputs, alone.forward(sequences))
    assert engine.counts().computed == engine.counts().prompt == sum(lengths)
    assert forwards == -(-sum(lengths) // CHUNK)
    assert whole.cursor is None


def test_a_sequence_longer_than_a_forward_is_computed_in_several(facts: CheckpointFacts, alone: TorchEngine) -> None:
    engine = case.engine(facts, max_batch_tokens=CHUNK)
    batch = [sequence(1, 190), sequence(2, 20), sequence(1, 240)]
    case.assert_close(engine.forward(batch), alone.forward(batch))
    assert engine.counts().computed == 190 + 20 + 50


def test_two_that_grow_by_turns_keep_what_they_have(facts: CheckpointFacts, alone: TorchEngine) -> None:
    engine = case.engine(facts, kv_cache_bytes=400 * TINY_KV_BYTES)
    first, second = work(sequence(1, 180)), work(sequence(2, 180))
    run(engine, first, second)
    case.assert_close(first.outputs + second.outputs, alone.forward([sequence(1, 180), sequence(2, 180)]))
    assert engine.counts().computed == 360


def test_what_is_held_is_not_evicted_and_goes_when_released(facts: CheckpointFacts) -> None:
    engine = case.engine(facts, kv_cache_bytes=120 * TINY_KV_BYTES)
    begun = work(sequence(1, 150))
    begun.token_budget = CHUNK
    engine.advance([begun])
    for seed in range(2, 12):
        engine.forward([sequence(seed, 60)])
    assert engine.cost(sequence(1, 150)) == 100
    engine.release(begun)
    for seed in range(20, 30):
        engine.forward([sequence(seed, 60)])
    assert engine.cost(sequence(1, 150)) == 150


@pytest.mark.parametrize("slots", [0, 20, 60, 100])
def test_without_room_to_keep_a_chunk_the_rest_is_computed_at_once(
    facts: CheckpointFacts, alone: TorchEngine, slots: int
) -> None:
    engine = case.engine(facts, kv_cache_bytes=slots * TINY_KV_BYTES)
    large = work(sequence(1, 170))
    forwards = 0
    while not large.finished:
        large.token_budget = CHUNK
        engine.advance([large])
        forwards += 1
    case.assert_close(large.outputs, alone.forward([sequence(1, 170)]))
    assert engine.counts().computed == 170
    assert forwards == min(slots // CHUNK, 2) + 1


def test_a_purge_in_between_costs_the_tokens_again(facts: CheckpointFacts, alone: TorchEngine) -> None:
    engine, large = case.engine(facts), work(sequence(1, 120))
    large.token_budget = CHUNK
    engine.advance([large])
    engine.purge()
    assert run(engine, large) == 3
    case.assert_close(large.outputs, alone.forward([sequence(1, 120)]))


def test_a_chunk_that_fails_leaves_the_work_where_it_stood(facts: CheckpointFacts, alone: TorchEngine) -> None:
    engine, large = case.engine(facts), work(sequence(1, 120))
    large.token_budget = CHUNK
    engine.advance([large])
    whole = engine.models[0].readout
    engine.models[0].readout = _out_of_memory
    with pytest.raises(EngineError, match="out of memory"):
        engine.advance([large])
    engine.models[0].readout = whole
    assert engine.cost(sequence(1, 120)) == 70
    assert run(engine, large) == 2
    case.assert_close(large.outputs, alone.forward([sequence(1, 120)]))


def _out_of_memory(hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    raise torch.OutOfMemoryError("out of memory")


def test_searches_that_share_a_prompt_are_one_forward(facts: CheckpointFacts) -> None:
    """Two callers, one prompt of 30 tokens, steps of 10: each token once, each same candidate once."""
    engine = case.engine(facts)
    prompt = sequence(0, 30).ids
    steps = [sequence(seed, 10).ids for seed in (1, 2, 3)]
    works = [work(Encoded(prompt + step, (39,))) for step in (*steps, *steps[:2])]
    for each in works:
        each.token_budget = CHUNK
    engine.advance(works)
    assert all(each.finished for each in works)
    assert engine.counts().computed == 30 + 3 * 10


@settings(max_examples=20, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    slots=st.sampled_from([0, 30, 120, 10_000]),
    turns=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 70), st.booleans()), max_size=40),
)
def test_any_order_of_chunks_gives_the_numbers_of_no_cache(
    facts: CheckpointFacts, alone: TorchEngine, seeds: list[int], slots: int, turns: list[tuple[int, int, bool]]
) -> None:
    engine = case.engine(facts, kv_cache_bytes=slots * TINY_KV_BYTES)
    batches = [case.batch(seed, size=2) for seed in seeds]
    works = [work(*batch) for batch in batches]
    for turn, budget, leaves in turns:
        each = works[turn % len(works)]
        each.token_budget = budget
        if leaves:
            engine.release(each)
        elif not each.finished:
            engine.advance([each])
    for each, batch in zip(works, batches, strict=True):
        each.token_budget = 10_000
        engine.advance([each])
        case.assert_close(each.outputs, alone.forward(batch))
