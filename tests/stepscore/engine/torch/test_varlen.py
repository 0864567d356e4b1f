"""The real varlen_attn of this PyTorch over an operator for CPUs: random forwards, and a whole engine in bfloat16."""

from __future__ import annotations

import random
from collections.abc import Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.attention.varlen import varlen_attn

import engine_case as case
from benchmarks import flash_on_cpu
from stepscore.engine.torch.attention import varlen_attention
from stepscore.engine.torch.engine import TorchEngine
from stepscore.engine.torch.inputs import ForwardInputs, load_inputs
from stepscore.engine.torch.packing import Segment, pack
from stepscore.engine.torch.varlen_attention import VarlenAttention

CPU = torch.device("cpu")
SLOTS, CASES = 200, 300
HEADS = [(28, 4, 8), (4, 2, 16), (8, 8, 8), (7, 1, 24), (4, 4, 40)]
"""Query heads, key heads and width of a head."""


def random_segments(chance: random.Random) -> list[Segment]:
    """Up to six, some of one token, over slots, over rows of the forward, over both or nothing."""
    segments: list[Segment] = []
    row = 0
    for _ in range(chance.randint(1, 6)):
        size, cached = chance.choice([1, 1, 2, 5, 17]), chance.choice([0, 0, 1, 7, 30])
        past: tuple[tuple[int, int], ...] = ()
        if segments and chance.random() < 0.5:
            other = chance.choice(segments)
            past = ((other.start, chance.randint(other.start + 1, other.stop)),)
        depth = cached + sum(stop - start for start, stop in past)
        slots = np.array(chance.sample(range(SLOTS // 2), cached), dtype=np.int64)
        segments.append(Segment(row, row + size, depth, slots, past))
        row += size
    return segments


def random_inputs(chance: random.Random, segments: Sequence[Segment]) -> ForwardInputs:
    """Some runs of rows are kept, others are not; some forwards are filled up to a tile."""
    free = SLOTS // 2
    kept = [
        (segment.start, np.arange(free + segment.start, free + segment.stop))
        for segment in segments
        if chance.random() < 0.5
    ]
    packed = pack([0] * segments[-1].stop, segments, [], kept)
    return load_inputs(packed, CPU, rows=segments[-1].stop + chance.choice([0, 0, 3]), reads=0, scratch=SLOTS)


@pytest.mark.parametrize("seed", range(0, CASES, 50))
def test_random_forwards_equal_the_definition_in_fp64(seed: int) -> None:
    for number in range(seed, seed + 50):
        chance = random.Random(number)
        torch.manual_seed(number)
        dtype = chance.choice([torch.float32, torch.bfloat16])
        segments = random_segments(chance)
        check_one(random_inputs(chance, segments), chance.choice(HEADS), chance.choice([None, None, 1, 4, 50]), dtype)


def check_one(inputs: ForwardInputs, heads: tuple[int, int, int], window: int | None, dtype: torch.dtype) -> None:
    queries, keys, width = heads
    rows = len(inputs.write)
    mixed = torch.randn(rows, queries + 2 * keys, width).to(dtype)  # query, key and value lie in one tensor
    query, key, value = torch.split(mixed, [queries, keys, keys], dim=1)
    pool = torch.randn(SLOTS + rows, 2, keys, width).to(dtype)
    past = pool[:SLOTS].clone()
    found = VarlenAttention(inputs)(query, key, value, pool, window)
    assert (found.shape, found.dtype) == (query.shape, dtype)
    for segment in inputs.segments:
        own = torch.tensor([row for start, stop in segment.context for row in range(start, stop)], dtype=torch.long)
        slots = torch.from_numpy(segment.slots)
        context = [torch.cat((past[slots, part], rows[own])) for part, rows in enumerate((key, value))]
        wanted = flash_on_cpu.definition(query[segment.start : segment.stop], *context, window)
        allowed = 1e-5 if dtype == torch.float32 else 2e-2
        torch.testing.assert_close(found[segment.start : segment.stop].double(), wanted, rtol=0.0, atol=allowed)
    assert not found[len(inputs.packed.ids) :].any()
    check_pool(inputs, pool, past, key, value)
    assert inputs.longest_query == int(inputs.query_ends.diff().max())
    assert inputs.longest_key == int(inputs.key_ends.diff().max())


def check_pool(
    inputs: ForwardInputs, pool: torch.Tensor, past: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> None:
    """Kept rows are in their slots; no other slot of the cache has changed."""
    slots, rows = inputs.keep_slots, inputs.keep_rows
    assert torch.equal(pool[slots], torch.stack((key[rows], value[rows]), dim=1))
    others = torch.ones(SLOTS, dtype=torch.bool)
    others[slots] = False
    assert torch.equal(pool[:SLOTS][others], past[others])


def test_an_empty_segment_beside_others_changes_nothing() -> None:
    segments = [Segment(0, 0, 3, np.arange(3)), Segment(0, 4, 0)]
    inputs = load_inputs(pack([0] * 4, segments, []), CPU, rows=4, reads=0, scratch=SLOTS)
    check_one(inputs, (4, 2, 8), None, torch.float32)


POSITIONAL = ("query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k")
OF_2_11 = ("return_aux", "scale", "window_size")
OF_2_12 = (*OF_2_11, "enable_gqa", "seqused_k", "block_table", "num_splits")


@pytest.mark.parametrize("named", [OF_2_11, OF_2_12, None], ids=["2.11", "2.12 and 2.13", "this one"])
def test_every_version_of_the_kernel_is_told_what_it_can_be(named: tuple[str, ...] | None) -> None:
    """A kernel refuses, as Python does, what its version has no parameter for."""
    places = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in POSITIONAL]
    known = Signature([*places, *(Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in named or ())])
    known = known if named else signature(varlen_attn)
    given: dict[str, object] = {}

    def kernel(*arguments: object, **options: object) -> torch.Tensor:
        given.update(known.bind(*arguments, **options).arguments)
        return torch.zeros(5, 4, 8)

    kernel.__signature__ = known  # type: ignore[attr-defined]
    inputs = load_inputs(pack([0] * 5, [Segment(0, 5, 0)], []), CPU, rows=5, reads=0, scratch=0)
    key = torch.randn(5, 2, 8)
    VarlenAttention(inputs, kernel)(torch.randn(5, 4, 8), key, key, torch.empty(5, 2, 2, 8), 3)
    assert given["window_size"] == (2, 0)
    extras = {name: given[name] for name in ("enable_gqa", "num_splits") if name in given}
    assert extras == ({} if named == OF_2_11 else {"enable_gqa": True, "num_splits": 1})


def varlen_engine(facts, **options) -> TorchEngine:
    engine = case.engine(facts, dtype="bfloat16", **options)
    engine.models[0].decoder.attention_for = varlen_attention
    return engine


@pytest.mark.parametrize("window", [None, 12])
def test_the_whole_engine_in_bfloat16_stays_near_fp32(tmp_path: Path, window: int | None) -> None:
    facts = case.write(tmp_path, "mistral", sliding_window=window, head_dim=32, hidden_size=32)
    sequences = case.batch(seed=2)
    exact = case.engine(facts).forward(sequences)
    engine = varlen_engine(facts, max_batch_tokens=90)
    widest = max(float(abs(one).max()) for one in exact)
    flash_on_cpu.CALLS.clear()
    for rough in (engine.forward(sequences), engine.forward(sequences[::-1])[::-1]):
        assert all(abs(one - other).max() < 0.1 * widest for one, other in zip(exact, rough, strict=True))
    assert {call["window"] for call in flash_on_cpu.CALLS} == {-1 if window is None else window - 1}


def test_mode_invariant_over_the_kernel_is_bitwise(tmp_path: Path) -> None:
    facts = case.write(tmp_path, head_dim=32)
    sequences = case.batch(seed=3, size=10, longest=150)
    engine = varlen_engine(facts, mode="invariant")
    flash_on_cpu.CALLS.clear()
    together = engine.forward(sequences)
    for one, values in zip(sequences, together, strict=True):
        assert np.array_equal(engine.forward([one])[0], values)
    assert {call["num_splits"] for call in flash_on_cpu.CALLS} == {1}
