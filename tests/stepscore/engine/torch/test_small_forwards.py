"""Small forwards at fixed shapes: the numbers of any other forward, over buffers that are used again and again."""

from __future__ import annotations

import gc
import random
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import engine_case as case
from benchmarks import flash_on_cpu  # noqa: F401 - gives the CPU the operator of flash attention
from stepscore.config import CheckpointFacts
from stepscore.engine.protocol import Work
from stepscore.engine.torch.attention import varlen_attention
from stepscore.engine.torch.engine import TorchEngine
from stepscore.engine.torch.inputs import FixedShape, fixed_arrays, index_arrays
from stepscore.engine.torch.memory import give_back
from stepscore.engine.torch.packing import Packed, Segment, pack
from stepscore.engine.torch.small_forwards import (
    BLOCK,
    CONTEXTS,
    DENSE_CONTEXTS,
    DENSE_ROWS,
    ROWS,
    SEGMENTS,
    CallRecorder,
    SmallForwards,
    records,
    shape_of,
)
from stepscore.errors import OutOfMemory, UnsupportedByEngine
from stepscore.types import Encoded, EncodedSolution

SEEDS = st.integers(0, 10_000)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFacts:
    return case.write(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def exact(facts: CheckpointFacts) -> TorchEngine:
    return case.engine(facts, kv_cache_bytes=0)


class Counting(CallRecorder):
    """recorded: how many forwards. forgotten: how often all were dropped."""

    def __init__(self) -> None:
        self.recorded = self.forgotten = 0

    def record(self, forward: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        self.recorded += 1
        return super().record(forward)

    def forget(self) -> None:
        self.forgotten += 1


def recording(facts: CheckpointFacts, slots: int = 500, scratch: int = ROWS[-1], **options: Any) -> TorchEngine:
    """With scratch slots from the start, as on CUDA."""
    bytes_of_token = 2 * 3 * 2 * 8 * 4
    engine = case.engine(facts, kv_cache_bytes=slots * bytes_of_token, **options)
    for model in engine.models:
        model.pool.reserve(scratch)
    engine.small = SmallForwards(engine.models, Counting())
    return engine


def counting(engine: TorchEngine) -> Counting:
    assert engine.small is not None
    assert isinstance(engine.small._recorder, Counting)
    return engine.small._recorder


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, size=st.integers(1, 12), slots=st.sampled_from([0, 60, 1000]))
def test_small_calls_give_the_numbers_of_forwards_that_are_not_filled_up(
    facts: CheckpointFacts, exact: TorchEngine, seed: int, size: int, slots: int
) -> None:
    """Beams and trees: several calls, of which each extends what is known."""
    engine, chance = recording(facts, slots), random.Random(seed)
    known = case.batch(seed, size=size, longest=20)
    for _ in range(3):
        case.assert_close(engine.forward(known), exact.forward(known))
        known = [extended(chance, chance.choice(known)) for _ in range(size)]
    assert counting(engine).recorded


def extended(chance: random.Random, sequence: case.Encoded) -> case.Encoded:
    ids = (*sequence.ids, *(chance.randrange(case.VOCABULARY) for _ in range(chance.randint(1, 9))))
    return case.Encoded(ids, (*sequence.reads, len(ids) - 1) if sequence.reads[-1] < len(ids) - 1 else sequence.reads)


@pytest.fixture(scope="module")
def used(facts: CheckpointFacts) -> TorchEngine:
    """One engine for all examples of a property: its buffers have seen many other calls."""
    return recording(facts, 200)


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS, size=st.integers(1, 10), longest=st.sampled_from([2, 10, 60]), purged=st.booleans())
def test_nothing_of_an_earlier_call_is_left_in_the_buffers(
    used: TorchEngine, exact: TorchEngine, seed: int, size: int, longest: int, purged: bool
) -> None:
    batch = case.batch(seed, size=size, longest=longest)
    if purged:
        used.purge()
    case.assert_close(used.forward(batch), exact.forward(batch))
    assert counting(used).recorded <= 2 * len(ROWS) * len(CONTEXTS)
    assert not counting(used).forgotten


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_numbers_wait_while_the_next_small_forward_overwrites_the_buffers(
    facts: CheckpointFacts, exact: TorchEngine, used: TorchEngine, seed: int
) -> None:
    used.purge()
    sequences = case.batch(seed, size=6, longest=15)
    works = [Work(EncodedSolution((each,), 1), token_budget=100) for each in sequences]
    started = [used.launch(works[:2]), used.launch(works[2:4]), used.launch(works[4:])]
    for finish in started:
        finish()
    case.assert_close([work.outputs[0] for work in works], exact.forward(sequences))


@pytest.mark.parametrize("window", [None, 700])
def test_few_rows_over_a_long_past_give_the_numbers_of_any_other_forward(tmp_path: Path, window: int | None) -> None:
    facts = case.write(tmp_path, "mistral", sliding_window=window, max_position_embeddings=4096)
    engine, exact, chance = recording(facts, 6000), case.engine(facts, kv_cache_bytes=0), random.Random(1)
    known = [Encoded(tuple(chance.choices(range(case.VOCABULARY), k=2500)), (2499,))]
    engine.forward(known)
    for _ in range(3):
        known = [extended(chance, each) for each in known]
        case.assert_close(engine.forward(known), exact.forward(known))
    assert engine.small is not None
    (dense,) = [each for each in engine.small._recordings if each.segments == 3]
    assert (dense.rows, dense.context) == (32, 4096)


@pytest.mark.parametrize("length", [20, 2500])
def test_filling_has_no_numbers_that_the_forward_does_not_have(tmp_path: Path, length: int) -> None:
    """vllm#37442: with masked products, rows that nobody reads would reach the others if they were not finite."""
    facts = case.write(tmp_path, "mistral", max_position_embeddings=4096)
    engine, exact, chance = recording(facts, 3000), case.engine(facts, kv_cache_bytes=0), random.Random(2)
    engine.models[0].decoder.embedding[0] = float("nan")
    ids = tuple(chance.choices(range(1, case.VOCABULARY), k=length))
    engine.forward([Encoded(ids, (length - 1,))])
    longer = [Encoded((*ids, 5, 6, 7), (length + 2,))]
    case.assert_close(engine.forward(longer), exact.forward(longer))


def test_weights_that_change_in_place_are_seen(tmp_path: Path) -> None:
    facts, batch = case.write(tmp_path), case.batch(3, size=4)
    engine, plain = recording(facts), case.engine(facts)
    before = engine.forward(batch)
    for each in (engine, plain):
        for layer in each.models[0].decoder.layers:
            layer.mlp_norm.mul_(1.5)
        each.purge()
    case.assert_close(engine.forward(batch), plain.forward(batch))
    assert any(not np.allclose(old, new) for old, new in zip(before, engine.forward(batch), strict=True))
    assert not counting(engine).forgotten


def test_weights_that_are_replaced_are_recorded_anew(tmp_path: Path) -> None:
    batch = case.batch(4, size=4)
    engine, other = recording(case.write(tmp_path / "one")), case.engine(case.write(tmp_path / "other", seed=9))
    engine.forward(batch)
    ours, theirs = engine.models[0], other.models[0]
    ours.decoder.layers = theirs.decoder.layers
    ours.decoder.embedding, ours.decoder.final_norm = theirs.decoder.embedding, theirs.decoder.final_norm
    engine.purge()
    case.assert_close(engine.forward(batch), other.forward(batch))
    assert counting(engine).forgotten == 1


def test_a_pool_that_grew_is_recorded_anew(facts: CheckpointFacts, exact: TorchEngine) -> None:
    engine = recording(facts, 1000, scratch=0)
    batch = case.batch(5, size=3, longest=5, shared=2)
    for _ in range(2):
        case.assert_close(engine.forward(batch), exact.forward(batch))
        engine.models[0].pool.reserve(engine.models[0].pool.scratch + 1)
        batch = [case.Encoded((*each.ids, 7), (len(each.ids),)) for each in batch]
    case.assert_close(engine.forward(batch), exact.forward(batch))
    assert counting(engine).forgotten == 2


def test_weights_that_become_8_bits_are_not_kept_beside_the_new_ones(facts: CheckpointFacts) -> None:
    engine = recording(facts)
    engine.forward(case.batch(5, size=3))
    old = [weakref.ref(layer.gate_up.weight) for layer in engine.models[0].decoder.layers]
    gc.disable()  # what only the collector would free is memory that a GPU lacks
    try:
        engine.quantize("int8")
        assert not any(each() is not None for each in old)
    finally:
        gc.enable()


def test_a_pool_that_grows_for_a_large_forward_is_not_kept_beside_the_new_one(
    facts: CheckpointFacts, exact: TorchEngine
) -> None:
    engine = recording(facts, 100, scratch=64, max_batch_tokens=4000)
    engine.models[0].decoder.attention_for = varlen_attention
    engine.forward([Encoded((5, 6), (1,))])
    assert counting(engine).recorded
    old = [weakref.ref(layer) for layer in engine.models[0].pool.layers]
    batch = case.batch(6, size=60, longest=80, shared=1)
    gc.disable()
    try:
        case.assert_close(engine.forward(batch), exact.forward(batch))
        assert engine.models[0].pool.scratch > ROWS[-1]
        assert not any(each() is not None for each in old)
    finally:
        gc.enable()


class Alone(CallRecorder):
    """Fails if another one records, or waits for the device, at the same time. most: of this kind at once."""

    busy = most = 0

    def record(self, forward: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        Alone.busy += 1
        Alone.most = max(Alone.most, Alone.busy)
        time.sleep(0.01)
        recorded = super().record(forward)
        Alone.busy -= 1
        return recorded

    def forget(self) -> None:
        assert not Alone.busy


def test_engines_of_one_process_record_one_after_the_other(facts: CheckpointFacts, exact: TorchEngine) -> None:
    """A recording does not survive that another thread waits for the whole device, as the start of one does."""
    engines = [recording(facts) for _ in range(3)]
    for engine in engines:
        engine.small = SmallForwards(engine.models, Alone())
    batches = [case.batch(seed, size=4) for seed in range(6)]

    def run(engine: TorchEngine) -> None:
        for batch in batches:
            case.assert_close(engine.forward(batch), exact.forward(batch))
            give_back()
            assert engine.small is not None
            engine.small.forget()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(run, engines))
    assert Alone.most == 1


def test_rotations_that_grew_lie_elsewhere(facts: CheckpointFacts) -> None:
    (model,) = case.engine(facts).models
    first, again, longer = (model.decoder.buffers(model.pool, last) for last in (10, 4000, 5000))
    assert first.same(again)
    assert not first.same(longer)


def test_an_implicit_model_and_its_reference_share_the_indices(tmp_path: Path) -> None:
    from stepscore.family.heads import TokenLogProbHead

    policy, reference = case.write(tmp_path / "policy"), case.write(tmp_path / "reference", seed=7, num_hidden_layers=2)
    head = TokenLogProbHead(reference=True)
    engine, plain = (case.engine(policy, head, reference_model=reference.path) for _ in range(2))
    engine.small = SmallForwards(engine.models, Counting())
    for seed in (1, 2):
        batch = case.batch(seed, size=5, longest=12, targets=True)
        case.assert_close(engine.forward(batch), plain.forward(batch))
    assert counting(engine).recorded >= 2


@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30)), min_size=1, max_size=7), kept=st.booleans())
def test_filling_goes_to_scratch_slots_and_belongs_to_segments_of_its_own(
    sizes: list[tuple[int, int]], kept: bool
) -> None:
    shape, scratch, row = FixedShape(64, 10, 512, 64), 900, 0
    segments, keep = [], []
    for count, cached in sizes:
        segments.append(Segment(row, row + count, cached, np.arange(cached)))
        keep += [(row, np.arange(100 + row, 100 + row + count))] if kept else []
        row += count
    packed = pack(list(range(row)), segments, [(0, 5), (row - 1, 6)], keep)
    found, plain = fixed_arrays(packed, shape, scratch), index_arrays(packed, rows=row, reads=2, scratch=scratch)
    for name in ("ids", "positions", "read_rows", "targets", "write", "context", "query_ends", "key_ends"):
        ours, theirs = getattr(found, name), getattr(plain, name)
        assert ours[: len(theirs)].tolist() == theirs.tolist(), name
        assert ours.dtype == theirs.dtype
    assert found.write[row:].tolist() == list(range(scratch + row, scratch + 64))
    assert found.context[len(plain.context) : len(plain.context) + 64 - row].tolist() == found.write[row:].tolist()
    queries, keys = np.diff(found.query_ends), np.diff(found.key_ends)
    assert (len(queries), queries.sum(), keys.sum()) == (10, 64, 512)
    assert (keys[:-1] >= queries[:-1]).all(), "a row without a key has no numbers"
    assert queries[-1] == 0
    assert not len(found.keep_rows)


def packed_of(segments: int, rows: int, depth: int = 0, reads: int = 1) -> Packed:
    made = [Segment(at * rows, (at + 1) * rows, depth, np.arange(depth)) for at in range(segments)]
    return pack([0] * segments * rows, made, [(0, target) for target in range(reads)])


@given(
    segments=st.integers(1, SEGMENTS),
    rows=st.integers(1, 300),
    depth=st.integers(0, 3000),
    reads=st.integers(1, 1200),
)
def test_a_shape_is_the_smallest_that_holds_a_forward_with_its_filling(
    segments: int, rows: int, depth: int, reads: int
) -> None:
    packed = packed_of(segments, rows, depth, reads)
    shape, tokens = shape_of(packed), segments * rows
    if shape is None:
        assert max(tokens, reads) > ROWS[-1] or segments * depth + ROWS[-1] > CONTEXTS[-1]
        return
    assert next(each for each in ROWS if each >= max(tokens, reads)) == shape.rows
    assert next(each for each in CONTEXTS if each >= shape.rows + segments * depth) == shape.context
    found = fixed_arrays(packed, shape, 100_000)
    assert len(found.write) == len(found.read_rows) == shape.rows
    assert found.key_ends[-1] == len(found.context) == shape.context
    assert np.diff(found.query_ends).max() <= shape.longest
    assert shape.longest in (min(shape.rows, BLOCK), shape.rows)
    dense = segments == 1 and shape.rows <= DENSE_ROWS and shape.context in DENSE_CONTEXTS
    assert shape.segments == (3 if dense else SEGMENTS + 2)


def test_what_no_shape_holds() -> None:
    assert shape_of(packed_of(SEGMENTS, 4)) is not None
    assert shape_of(packed_of(SEGMENTS + 1, 3)) is None, "too many segments"
    assert shape_of(packed_of(1, ROWS[-1] + 1)) is None, "too many rows"
    assert shape_of(packed_of(1, 1, reads=ROWS[-1] + 1)) is None, "too many reads"
    assert shape_of(packed_of(1, ROWS[-1], CONTEXTS[-1] - ROWS[-1])) is not None
    assert shape_of(packed_of(1, ROWS[-1], CONTEXTS[-1] - ROWS[-1] + 1)) is None, "too long a context"
    assert shape_of(packed_of(1, 1, CONTEXTS[-1] - 1)) is None, "no room for the filling"


def test_few_rows_are_lost_to_filling() -> None:
    """Up to 64 rows a forward takes as long as reading the weights; from there on, filling costs time."""
    for rows in range(65, ROWS[-1] + 1):
        shape = shape_of(packed_of(1, rows))
        assert shape is not None
        assert shape.rows - rows < (64 if rows <= 256 else 128)


def test_a_call_that_is_too_large_runs_like_all_others(facts: CheckpointFacts, exact: TorchEngine) -> None:
    engine = recording(facts, max_batch_tokens=4000)
    batch = case.batch(6, size=60, longest=80, shared=1)
    case.assert_close(engine.forward(batch), exact.forward(batch))
    assert engine.counts().computed > ROWS[-1]
    assert not counting(engine).recorded


class Failing(CallRecorder):
    """Of this many recordings the first ones fail."""

    def __init__(self, error: RuntimeError, times: int = 100) -> None:
        self._error = error
        self._times = times

    def record(self, forward: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        self._times -= 1
        if self._times >= 0:
            raise self._error
        return super().record(forward)


def test_what_cannot_be_recorded_is_computed_with_one_warning(facts: CheckpointFacts, exact: TorchEngine) -> None:
    engine, batch = recording(facts), case.batch(7, size=3)
    engine.small = SmallForwards(
        engine.models, Failing(RuntimeError("operation not permitted when stream is capturing"))
    )
    with pytest.warns(UserWarning, match="CUDA graphs are off"):
        case.assert_close(engine.forward(batch), exact.forward(batch))
    engine.purge()
    case.assert_close(engine.forward(batch), exact.forward(batch))
    assert engine.small.fault is not None


def test_recordings_that_nobody_will_run_again_are_given_back(facts: CheckpointFacts, exact: TorchEngine) -> None:
    engine, long = recording(facts), [Encoded(tuple(range(60)), (59,))]
    small = engine.small
    assert small is not None
    engine.forward([Encoded((5, 6), (1,))])
    (first,) = map(weakref.ref, small._recordings.values())
    small._recorder = Failing(RuntimeError("operation not permitted when stream is capturing"))
    with pytest.warns(UserWarning, match="CUDA graphs are off"):
        case.assert_close(engine.forward(long), exact.forward(long))
    gc.collect()
    assert first() is None


def test_a_recording_that_does_not_fit_into_memory_is_an_error_that_leaves_no_trace(
    facts: CheckpointFacts, exact: TorchEngine
) -> None:
    engine, (sequence,) = recording(facts), case.batch(8, size=1)
    engine.small = SmallForwards(engine.models, Failing(torch.OutOfMemoryError("CUDA out of memory"), times=1))
    work = Work(EncodedSolution((sequence,), 1), token_budget=100)
    with pytest.raises(OutOfMemory):
        engine.advance([work])
    assert engine.counts().kept == 0
    engine.advance([replace(work)])
    case.assert_close(engine.forward([sequence]), exact.forward([sequence]))
    assert engine.small.fault is None


@pytest.mark.parametrize(("wanted", "mode"), [("auto", "fast"), ("off", "fast"), ("auto", "invariant")])
def test_a_cpu_records_nothing(wanted: Any, mode: Any) -> None:
    assert not records(wanted, mode, CPU, torch.bfloat16)


def test_graphs_are_refused_where_there_are_none(facts: CheckpointFacts) -> None:
    with pytest.raises(UnsupportedByEngine, match="cuda_graphs=on is refused"):
        case.engine(facts, cuda_graphs="on")
    with pytest.raises(UnsupportedByEngine, match="mode fast"):
        records("on", "invariant", CUDA, torch.bfloat16)
    with pytest.raises(UnsupportedByEngine, match="bfloat16"):
        records("on", "fast", CUDA, torch.float32)
