"""Numbers that are not finite reach, through attention, rows that come before them: nothing of them is kept."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import engine_case as case
from stepscore.config import CheckpointFacts
from stepscore.engine.protocol import Work
from stepscore.engine.torch.engine import TorchEngine
from stepscore.types import Encoded, EncodedSolution, Values

BROKEN = 63
"""The token whose embedding is NaN."""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFacts:
    return case.write(tmp_path_factory.mktemp("not_finite"))


def broken(facts: CheckpointFacts, **options: object) -> TorchEngine:
    engine = case.engine(facts, **options)
    engine.models[0].decoder.embedding[BROKEN] = float("nan")
    return engine


def finite(values: Sequence[Values]) -> list[bool]:
    return [bool(np.isfinite(each).all()) for each in values]


PREFIX = tuple(range(30))
POISON = Encoded((*PREFIX, 7, BROKEN, 8), (10, 32))
INNOCENT = Encoded((*PREFIX, 9, 10), (5, 31))


@pytest.mark.parametrize("batch_tokens", [0, 16])
def test_what_shares_a_prefix_with_numbers_that_are_not_finite_has_its_own_later(
    facts: CheckpointFacts, batch_tokens: int
) -> None:
    engine, exact = broken(facts, max_batch_tokens=batch_tokens), case.engine(facts)
    assert finite(engine.forward([POISON])) == [False]
    assert engine.counts().kept == 0
    case.assert_close(engine.forward([INNOCENT]), exact.forward([INNOCENT]))
    assert engine.counts().kept == len(INNOCENT.ids), "what is finite is kept as ever"


def test_another_salt_and_another_prefix_are_not_touched(facts: CheckpointFacts) -> None:
    engine = broken(facts)
    others = [replace(INNOCENT, cache_salt="other"), Encoded((50, 51, 52), (2,))]
    engine.forward(others)
    kept = engine.counts().kept
    assert finite(engine.forward([POISON])) == [False]
    assert engine.counts().kept == kept
    computed = engine.counts().computed
    engine.forward(others)
    assert engine.counts().computed == computed


EARLY = Encoded((*PREFIX[:5], BROKEN, *PREFIX[5:]), (6, 30))
"""Its first numbers that are not finite belong to a part that other parts follow."""


@pytest.mark.parametrize("poison", [POISON, EARLY])
@pytest.mark.parametrize("budget", [3, 7, 100])
def test_a_sequence_of_many_forwards_ends_although_it_is_not_finite(
    facts: CheckpointFacts, budget: int, poison: Encoded
) -> None:
    engine = broken(facts)
    work = Work(EncodedSolution((poison, INNOCENT), steps=1))
    for _ in range(60):
        work.token_budget = budget
        engine.advance([work])
        if work.finished:
            break
    assert work.finished
    assert finite(work.outputs[:1]) == [False]
    engine.release(work)
    (values,) = engine.forward([INNOCENT])
    if not np.isfinite(values).all():  # it was begun over spoiled rows, in the forward that ended the other
        (values,) = engine.forward([INNOCENT])
    case.assert_close([values], case.engine(facts).forward([INNOCENT]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), slots=st.sampled_from([0, 60, 1000]), in_flight=st.sampled_from([1, 2]))
def test_whatever_was_not_finite_every_sequence_has_its_numbers_when_it_is_sent_again(
    facts: CheckpointFacts, seed: int, slots: int, in_flight: int
) -> None:
    engine = broken(facts, kv_cache_bytes=slots * 2 * 3 * 2 * 8 * 4, max_batch_tokens=40)
    engine.info = replace(engine.info, in_flight=in_flight)
    batch, chance = case.batch(seed, size=10, longest=25), random.Random(seed)
    poisoned = [Encoded((*each.ids[:-1], BROKEN), each.reads) for each in chance.sample(batch, 3)]
    engine.forward([*batch, *poisoned])
    sound = [each for each in batch if BROKEN not in each.ids]
    assume(sound)
    found = engine.forward(sound)
    while not all(finite(found)):  # each call forgets what spoiled it
        again = engine.forward(sound)
        assert sum(finite(again)) > sum(finite(found)), "it gets better with every call"
        found = again
    case.assert_close(found, case.engine(facts).forward(sound))
    assert engine._tree is not None
    assert not any(node.locks for node in engine._tree.nodes())


def test_a_path_is_removed_and_the_slots_are_free(tmp_path: Path) -> None:
    engine = broken(case.write(tmp_path), kv_cache_bytes=40 * 2 * 3 * 2 * 8 * 4)
    for last in range(50):
        engine.forward([Encoded((*PREFIX, last % 60, BROKEN), (31,))])
    assert engine.counts().kept == 0
    assert engine.counts().evicted == 0, "room was made for nobody"
