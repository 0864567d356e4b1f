"""Memory that runs out in the middle of a forward: smaller forwards follow, everyone is answered, nothing is left."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch

import engine_case as case
from stepscore.engine.protocol import SMALLEST_FORWARD
from stepscore.engine.torch.engine import TorchEngine
from stepscore.errors import OutOfMemory


class Memory:
    """A head that fits `rows` rows of the forward at most. activations: what failed forwards had computed."""

    def __init__(self, engine: TorchEngine, rows: int) -> None:
        self.rows = rows
        self.activations: list[weakref.ref[torch.Tensor]] = []
        self.forwards: list[int] = []
        self._decoder = engine.models[0].decoder
        self._attention_for = self._decoder.attention_for
        self._decoder.attention_for = self._attend

    def _attend(self, inputs, pool, dtype):
        self.forwards.append(len(inputs.packed.ids))
        attend = self._attention_for(inputs, pool, dtype)

        def call(query, *rest):
            if len(inputs.packed.ids) > self.rows:
                self.activations.append(weakref.ref(query))
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            return attend(query, *rest)

        return call


@pytest.mark.parametrize("mode", ["fast", "invariant"])
def test_a_call_is_answered_in_smaller_forwards(tmp_path: Path, mode: str) -> None:
    facts = case.write(tmp_path)
    sequences = case.batch(seed=1, size=12)
    exact = case.engine(facts).forward(sequences)
    engine = case.engine(facts, mode=mode, max_batch_tokens=1024)
    memory = Memory(engine, rows=130)
    gc.disable()  # what only the collector would free is memory that the next forward lacks
    try:
        case.assert_close(engine.forward(sequences), exact)
        assert memory.activations
        assert not any(each() is not None for each in memory.activations)
    finally:
        gc.enable()
    assert max(memory.forwards) > 130 >= memory.forwards[-1]


def test_what_never_fits_is_an_error_that_holds_no_memory_of_the_tree(tmp_path: Path) -> None:
    engine = case.engine(case.write(tmp_path), max_batch_tokens=1024)
    memory = Memory(engine, rows=0)
    with pytest.raises(OutOfMemory):
        engine.forward(case.batch(seed=1, size=12))
    assert engine.counts().kept == 0
    assert memory.forwards[-1] <= SMALLEST_FORWARD


def test_a_pool_that_cannot_grow_stays_as_it_was(tmp_path: Path) -> None:
    facts, (sequence, longer) = case.write(tmp_path), case.batch(seed=2, size=2)
    engine = case.engine(facts)
    engine.forward([sequence])
    pool = engine.models[0].pool
    before = pool.layers
    with pytest.raises(RuntimeError, match="allocate"):
        pool.reserve(1 << 48)
    assert all(one is other for one, other in zip(pool.layers, before, strict=True))
    case.assert_close(engine.forward([longer]), case.engine(facts).forward([longer]))
