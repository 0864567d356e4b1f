"""Both ways to attend give the definition's numbers over slots, rows of the same forward and padding rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stepscore.engine.attention import Attention, KeysValues, SegmentAttention, VarlenAttention
from stepscore.engine.packing import Segment

HEADS, KEY_HEADS, WIDTH, SLOTS, ROWS = 4, 2, 8, 30, 20
CPU = torch.device("cpu")
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


def varlen_by_definition(query, keys, values, query_ends, key_ends, longest_q, longest_k, *, window_size, **rest):
    """What flash attention's varlen call promises, in a loop."""
    window = None if window_size[0] < 0 else window_size[0] + 1
    assert window_size[1] == 0
    parts = [
        definition(query[a:b], keys[c:d], values[c:d], window)
        for a, b, c, d in zip(query_ends, query_ends[1:], key_ends, key_ends[1:], strict=False)
    ]
    assert max(len(part) for part in parts) == longest_q
    return torch.cat(parts)


@pytest.fixture
def tensors() -> tuple[torch.Tensor, KeysValues, KeysValues]:
    torch.manual_seed(0)
    fresh = torch.randn(ROWS, KEY_HEADS, WIDTH), torch.randn(ROWS, KEY_HEADS, WIDTH)
    past = torch.randn(SLOTS, KEY_HEADS, WIDTH), torch.randn(SLOTS, KEY_HEADS, WIDTH)
    return torch.randn(ROWS, HEADS, WIDTH), fresh, past


@pytest.mark.parametrize("window", [None, 1, 3, 100])
@pytest.mark.parametrize(
    "attention",
    [SegmentAttention(SEGMENTS, CPU, torch.float32), VarlenAttention(SEGMENTS, CPU, varlen_by_definition)],
    ids=["segment", "varlen"],
)
def test_equals_the_definition(
    tensors: tuple[torch.Tensor, KeysValues, KeysValues], attention: Attention, window: int | None
) -> None:
    query, fresh, past = tensors
    found = attention(query, fresh, past, window)
    for segment in SEGMENTS:
        slots = torch.from_numpy(segment.slots)
        rows = torch.tensor([row for start, stop in segment.context for row in range(start, stop)])
        keys, values = (torch.cat((kept[slots], new[rows])) for kept, new in zip(past, fresh, strict=True))
        wanted = definition(query[segment.start : segment.stop], keys, values, window)
        torch.testing.assert_close(found[segment.start : segment.stop], wanted, rtol=1e-5, atol=1e-5)
    assert not found[17:].any()
