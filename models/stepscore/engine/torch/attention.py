"""Causal attention of flat segments over their own past, some of it in the KV pool.

Shapes: T rows of the forward, H query heads, G key heads, E head width, S slots of the pool, L tokens of context.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch.nn import functional

from stepscore.engine.torch.inputs import ForwardInputs
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.packing import Segment
from stepscore.engine.torch.varlen_attention import VarlenAttention, has_flash

KeysValues = tuple[torch.Tensor, torch.Tensor]

KEYS = 16
"""In 16 bits, SDPA on a CPU is up to a third slower if the number of keys is not a multiple of this."""


class Attention(Protocol):
    """Built once for a forward, called once for every layer."""

    def __call__(
        self,
        query_THE: torch.Tensor,
        key_TGE: torch.Tensor,
        value_TGE: torch.Tensor,
        pool_S2GE: torch.Tensor,
        window: int | None,
    ) -> torch.Tensor:
        """(T, H, E). Writes keys and values of the rows that outlive the forward to the layer's pool."""
        ...


def attention_for(inputs: ForwardInputs, pool: KVPool, dtype: torch.dtype) -> Attention:
    """Varlen flash attention if the device has it (CUDA, 16-bit), else SDPA."""
    return varlen_attention(inputs, pool) if has_flash(inputs.ids.device, dtype) else SegmentAttention(inputs, dtype)


def varlen_attention(inputs: ForwardInputs, pool: KVPool, dtype: torch.dtype | None = None) -> Attention:
    """Varlen flash attention, with scratch slots for the rows of this forward."""
    pool.reserve(len(inputs.write))
    return VarlenAttention(inputs)


class SegmentAttention:
    """One scaled_dot_product_attention call for each segment: no padding, no mask over strangers."""

    def __init__(self, inputs: ForwardInputs, dtype: torch.dtype) -> None:
        self._inputs = inputs
        self._pieces = [
            _Piece(segment, slots, inputs.ids.device, dtype)
            for segment, slots in zip(inputs.segments, _slots_of(inputs), strict=True)
        ]

    def __call__(
        self,
        query_THE: torch.Tensor,
        key_TGE: torch.Tensor,
        value_TGE: torch.Tensor,
        pool_S2GE: torch.Tensor,
        window: int | None,
    ) -> torch.Tensor:
        _keep(self._inputs, key_TGE, value_TGE, pool_S2GE)
        out_THE = torch.zeros_like(query_THE)
        for piece in self._pieces:
            key_LGE, value_LGE = piece.context(key_TGE, value_TGE, pool_S2GE)
            mask, causal = piece.mask(window)
            attended_1HTE = functional.scaled_dot_product_attention(
                _heads_first(query_THE[piece.rows]),
                _heads_first(key_LGE),
                _heads_first(value_LGE),
                attn_mask=mask,
                is_causal=causal,
                enable_gqa=query_THE.shape[1] != key_LGE.shape[1],
            )
            out_THE[piece.rows] = attended_1HTE[0].transpose(0, 1)
        return out_THE


class _Piece:
    """A segment with the indices and masks that every layer uses again. slots: of the cached part of its past."""

    def __init__(self, segment: Segment, slots: torch.Tensor, device: torch.device, dtype: torch.dtype) -> None:
        self.rows = slice(segment.start, segment.stop)
        self._depth = segment.depth
        self._length = segment.depth + segment.stop - segment.start
        self._filling = -self._length % KEYS if dtype.itemsize == 2 and segment.stop > segment.start + 1 else 0
        self._ranges = segment.context
        self._slots = slots
        self._device, self._dtype = device, dtype
        self._masks: dict[int | None, torch.Tensor] = {}

    def context(self, key_TGE: torch.Tensor, value_TGE: torch.Tensor, pool_S2GE: torch.Tensor) -> KeysValues:
        """Keys and values (L, G, E): what the pool keeps of the past, rows of this forward, zeros that nobody sees."""
        keys, values = ([fresh[start:stop] for start, stop in self._ranges] for fresh in (key_TGE, value_TGE))
        if len(self._slots):
            cached = pool_S2GE.index_select(0, self._slots)
            keys.insert(0, cached[:, 0])
            values.insert(0, cached[:, 1])
        if self._filling:
            zeros = key_TGE.new_zeros((self._filling, *key_TGE.shape[1:]))
            keys.append(zeros)
            values.append(zeros)
        return _joined(keys), _joined(values)

    def mask(self, window: int | None) -> tuple[torch.Tensor | None, bool]:
        """An additive mask, or none and whether the causal shortcut of SDPA says the same."""
        tokens = self._length - self._depth
        if window is not None and self._length <= window:
            window = None
        if window is None and (self._depth == 0 or tokens == 1):
            return None, tokens > 1
        if window not in self._masks:
            positions = torch.arange(self._length + self._filling, device=self._device)
            self._masks[window] = _causal_mask(positions, self._depth, self._length, window, self._dtype)
        return self._masks[window], False


def _slots_of(inputs: ForwardInputs) -> Iterator[torch.Tensor]:
    """The cached slots of each segment."""
    start = 0
    for segment in inputs.segments:
        yield inputs.context[start : start + len(segment.slots)]
        start += segment.depth + segment.stop - segment.start


def _keep(inputs: ForwardInputs, key_TGE: torch.Tensor, value_TGE: torch.Tensor, pool_S2GE: torch.Tensor) -> None:
    """Write the rows that outlive the forward to the pool."""
    if not len(inputs.keep_rows):
        return
    for number, rows in enumerate((key_TGE, value_TGE)):
        pool_S2GE[:, number].index_copy_(0, inputs.keep_slots, rows.index_select(0, inputs.keep_rows))


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _causal_mask(
    columns: torch.Tensor, depth: int, length: int, window: int | None, dtype: torch.dtype
) -> torch.Tensor:
    """(length - depth, columns): 0 if the row at position depth + r sees the column's position, else -inf."""
    rows = columns[depth:length].unsqueeze(1)
    hidden = columns > rows
    if window is not None:
        hidden |= columns <= rows - window
    return torch.zeros(hidden.shape, device=columns.device, dtype=dtype).masked_fill_(hidden, float("-inf"))


def _heads_first(rows_THE: torch.Tensor) -> torch.Tensor:
    return rows_THE.transpose(0, 1).unsqueeze(0)
