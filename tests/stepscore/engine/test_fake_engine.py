"""The fake engine keeps a real engine's promises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.engine.fake import HIGH, LOW, FakeEngine
from stepscore.engine.protocol import TokenCounts
from stepscore.errors import EngineError
from stepscore.types import Encoded

IDS = st.lists(st.integers(0, 50_000), min_size=2, max_size=30).map(tuple)


@given(IDS, IDS)
def test_numbers_depend_only_on_the_tokens_up_to_the_read(ids: tuple[int, ...], later: tuple[int, ...]) -> None:
    engine = FakeEngine(outputs=2)
    reads = (0, len(ids) - 1)
    short, long = engine.forward([Encoded(ids, reads), Encoded(ids + later, reads)])
    assert np.array_equal(short, long)
    assert not np.array_equal(short[0], short[1])


def test_numbers_look_like_logits_and_depend_on_the_target() -> None:
    engine = FakeEngine(outputs=3)
    ids = tuple(range(200))
    values, other = engine.forward([Encoded(ids, ids, targets=ids), Encoded(ids, ids, targets=ids[::-1])])
    assert values.shape == (200, 3)
    assert values.dtype == np.float32
    assert values.min() >= LOW
    assert values.max() <= HIGH
    assert not np.array_equal(values, other)


def test_tokens_are_counted() -> None:
    engine = FakeEngine(outputs=1)
    engine.forward([Encoded((1, 2, 3), (2,)), Encoded((4,), (0,))])
    assert engine.counts() == TokenCounts(prompt=4, computed=4)
    assert engine.cost(Encoded((1, 2, 3), (2,))) == 3


def test_the_hook_sees_the_batch_and_may_fail() -> None:
    seen: list[int] = []

    def hook(batch: Sequence[Encoded]) -> None:
        seen.append(len(batch))
        raise EngineError("out of memory")

    engine = FakeEngine(outputs=1, before_forward=hook)
    with pytest.raises(EngineError):
        engine.forward([Encoded((1,), (0,))])
    assert seen == [1]
    assert engine.counts().prompt == 0
