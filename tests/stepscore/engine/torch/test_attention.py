"""Both ways to attend give the definition's numbers over slots, rows of the same forward and padding rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch.nn.attention import (
    activate_flash_attention_impl,
    register_flash_attention_impl,
    restore_flash_attention_impl,
)

from stepscore.engine.torch.attention import Attention, SegmentAttention
from stepscore.engine.torch.dense_attention import DenseAttention
from stepscore.engine.torch.inputs import ForwardInputs, load_inputs
from stepscore.engine.torch.packing import Segment, pack
from stepscore.engine.torch.varlen_attention import VarlenAttention, check_invariant
from stepscore.errors import UnsupportedByEngine

HEADS, KEY_HEADS, WIDTH, SLOTS, ROWS = 4, 2, 8, 30, 20
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SEGMENTS = (
    Segment(0, 6, 0),
    Segment(6, 9, 4, past=((0, 4),)),
    Segment(9, 12, 7, past=((0, 4), (6, 9))),
    Segment(12, 13, 5, slots=np.array([3, 1, 4, 20, 29])),
    Segment(13, 17, 7, slots=np.array([3, 1, 4, 20]), past=((0, 3),)),
)
"""Alone; after part of another; after two others; one token after slots; after slots and part of another."""


def definition(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, window: int | None) -> torch.Tensor:
    """Rows are the last of the context; each sees what is not later, and not further back than the window."""
    count, length = len(query), len(keys)
    out = torch.zeros_like(query)
    for row in range(count):
        last = length - count + row
        first = 0 if window is None else max(0, last - window + 1)
        for head in range(HEADS):
            group = head // (HEADS // KEY_HEADS)
            weights = (keys[first : last + 1, group] @ query[row, head] / WIDTH**0.5).softmax(0)
            out[row, head] = weights @ values[first : last + 1, group]
    return out


def varlen_of_torch_2_11(query, keys, values, query_ends, key_ends, longest_q, longest_k, *, window_size):
    """What flash attention's varlen call promises, in a loop, with the parameters that it has in PyTorch 2.11."""
    window = None if window_size[0] < 0 else window_size[0] + 1
    assert window_size[1] == 0
    parts = [
        definition(query[a:b], keys[c:d], values[c:d], window)
        for a, b, c, d in zip(query_ends, query_ends[1:], key_ends, key_ends[1:], strict=False)
    ]
    assert max(len(part) for part in parts) == longest_q
    return torch.cat(parts)


def varlen_of_torch_2_13(*args, window_size, enable_gqa, num_splits):
    assert enable_gqa
    assert num_splits == 1
    return varlen_of_torch_2_11(*args, window_size=window_size)


def inputs_of(segments: Sequence[Segment], rows: int, slots: int = 0) -> ForwardInputs:
    """Of a forward that keeps nothing. slots: of the pool, before its scratch."""
    packed = pack([0] * segments[-1].stop, segments, [])
    return load_inputs(packed, CPU, rows=rows, reads=0, scratch=slots)


INPUTS = inputs_of(SEGMENTS, ROWS, SLOTS)


@pytest.fixture
def tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query, key and value of the forward's rows; a pool with scratch for them."""
    torch.manual_seed(0)
    key, value = torch.randn(ROWS, KEY_HEADS, WIDTH), torch.randn(ROWS, KEY_HEADS, WIDTH)
    return torch.randn(ROWS, HEADS, WIDTH), key, value, torch.randn(SLOTS + ROWS, 2, KEY_HEADS, WIDTH)


@pytest.mark.parametrize("window", [None, 1, 3, 100])
@pytest.mark.parametrize(
    "attention",
    [
        SegmentAttention(INPUTS, torch.float32),
        VarlenAttention(INPUTS, varlen_of_torch_2_11),
        VarlenAttention(INPUTS, varlen_of_torch_2_13),
    ],
    ids=["segment", "varlen of 2.11", "varlen of 2.13"],
)
def test_equals_the_definition(tensors: tuple[torch.Tensor, ...], attention: Attention, window: int | None) -> None:
    query, key, value, pool = tensors
    past = pool.clone()
    found = attention(query, key, value, pool, window)
    assert torch.equal(pool[:SLOTS], past[:SLOTS]), "no row of this forward is kept"
    for segment in SEGMENTS:
        slots = torch.from_numpy(segment.slots)
        rows = torch.tensor([row for start, stop in segment.context for row in range(start, stop)])
        keys, values = (torch.cat((past[slots, part], new[rows])) for part, new in enumerate((key, value)))
        wanted = definition(query[segment.start : segment.stop], keys, values, window)
        torch.testing.assert_close(found[segment.start : segment.stop], wanted, rtol=1e-5, atol=1e-5)
    assert not found[17:].any()


@pytest.mark.parametrize("window", [None, 1, 3, 100])
def test_nobody_sees_the_keys_that_16_bits_are_filled_up_with(
    tensors: tuple[torch.Tensor, ...], window: int | None
) -> None:
    rounded = [each.bfloat16() for each in tensors]
    found = SegmentAttention(INPUTS, torch.bfloat16)(rounded[0], rounded[1], rounded[2], rounded[3], window)
    wanted = SegmentAttention(INPUTS, torch.float32)(*(each.float() for each in rounded), window)
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("window", [None, 1, 3, 100])
def test_few_rows_over_the_whole_context_equal_the_definition(
    tensors: tuple[torch.Tensor, ...], window: int | None
) -> None:
    rows = SEGMENTS[-1].stop
    query, key, value = (each[:rows] for each in tensors[:3])
    pool = tensors[3]
    past = pool.clone()
    found = DenseAttention(inputs_of(SEGMENTS, rows, SLOTS))(query, key, value, pool, window)
    assert torch.equal(pool[:SLOTS], past[:SLOTS]), "no row of this forward is kept"
    for segment in SEGMENTS:
        slots = torch.from_numpy(segment.slots)
        own = torch.tensor([row for start, stop in segment.context for row in range(start, stop)])
        keys, values = (torch.cat((past[slots, part], new[own])) for part, new in enumerate((key, value)))
        wanted = definition(query[segment.start : segment.stop], keys, values, window)
        torch.testing.assert_close(found[segment.start : segment.stop], wanted, rtol=1e-5, atol=1e-5)


class Activated:
    """What another implementation of flash attention gives to PyTorch when it is activated."""

    def remove(self) -> None:
        """Nothing was changed."""


@pytest.fixture
def another_implementation() -> Iterator[None]:
    register_flash_attention_impl("another", register_fn=Activated)
    activate_flash_attention_impl("another")
    yield
    restore_flash_attention_impl()


def test_invariant_needs_no_num_splits_of_the_kernel_that_never_splits_keys() -> None:
    check_invariant(CUDA, torch.bfloat16, varlen_of_torch_2_13)
    check_invariant(CUDA, torch.bfloat16, varlen_of_torch_2_11)


@pytest.mark.usefixtures("another_implementation")
def test_invariant_is_refused_if_another_kernel_may_split_keys() -> None:
    check_invariant(CUDA, torch.bfloat16, varlen_of_torch_2_13)
    check_invariant(CUDA, torch.float32, varlen_of_torch_2_11)
    check_invariant(CPU, torch.bfloat16, varlen_of_torch_2_11)
    with pytest.raises(UnsupportedByEngine, match=r"flash attention another: .* no num_splits"):
        check_invariant(CUDA, torch.bfloat16, varlen_of_torch_2_11)
