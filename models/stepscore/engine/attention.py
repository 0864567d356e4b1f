"""Causal attention of flat segments over their own past, some of it in the KV pool.

Shapes: T rows of the forward, H query heads, G key heads, E head width, L tokens of context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch.nn import functional

from stepscore.engine.packing import Indices, Segment

KeysValues = tuple[torch.Tensor, torch.Tensor]
Kernel = Callable[..., torch.Tensor]


class Attention(Protocol):
    """Built once for a forward, called once for every layer."""

    def __call__(
        self, query_THE: torch.Tensor, fresh: KeysValues, past: KeysValues | None, window: int | None
    ) -> torch.Tensor:
        """(T, H, E). fresh: keys and values (T, G, E) of this forward; past: the layer's pool (slots, G, E)."""
        ...


def attention_for(segments: Sequence[Segment], device: torch.device, dtype: torch.dtype) -> Attention:
    """Varlen flash attention where the device has it (CUDA, 16-bit), else one SDPA call for each segment."""
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        return VarlenAttention(segments, device)
    return SegmentAttention(segments, device, dtype)


class SegmentAttention:
    """One scaled_dot_product_attention call for each segment: no padding, no mask over strangers."""

    def __init__(self, segments: Sequence[Segment], device: torch.device, dtype: torch.dtype) -> None:
        self._pieces = [_Piece(segment, device, dtype) for segment in segments]

    def __call__(
        self, query_THE: torch.Tensor, fresh: KeysValues, past: KeysValues | None, window: int | None
    ) -> torch.Tensor:
        out_THE = torch.zeros_like(query_THE)
        for piece in self._pieces:
            key_LGE, value_LGE = piece.context(fresh, past)
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
    """A segment with the indices and masks that every layer uses again."""

    def __init__(self, segment: Segment, device: torch.device, dtype: torch.dtype) -> None:
        self.rows = slice(segment.start, segment.stop)
        self._tokens = segment.stop - segment.start
        self._depth = segment.depth
        self._ranges = segment.context
        self._slots = torch.from_numpy(segment.slots).to(device) if len(segment.slots) else None
        self._device, self._dtype = device, dtype
        self._masks: dict[int | None, torch.Tensor] = {}

    def context(self, fresh: KeysValues, past: KeysValues | None) -> KeysValues:
        return self._context(fresh[0], past and past[0]), self._context(fresh[1], past and past[1])

    def mask(self, window: int | None) -> tuple[torch.Tensor | None, bool]:
        """An additive mask, or none and whether the causal shortcut of SDPA says the same."""
        length = self._depth + self._tokens
        if window is not None and length <= window:
            window = None
        if window is None and (self._depth == 0 or self._tokens == 1):
            return None, self._tokens > 1
        if window not in self._masks:
            self._masks[window] = _causal_mask(self._depth, length, window, self._device, self._dtype)
        return self._masks[window], False

    def _context(self, fresh_TGE: torch.Tensor, past: torch.Tensor | None) -> torch.Tensor:
        parts = [fresh_TGE[start:stop] for start, stop in self._ranges]
        if self._slots is not None and past is not None:
            parts.insert(0, past.index_select(0, self._slots))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _causal_mask(depth: int, length: int, window: int | None, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """(length - depth, length): 0 where the row at position depth + r sees the column's position, else -inf."""
    rows = torch.arange(depth, length, device=device).unsqueeze(1)
    columns = torch.arange(length, device=device).unsqueeze(0)
    hidden = columns > rows
    if window is not None:
        hidden |= columns <= rows - window
    return torch.zeros(hidden.shape, device=device, dtype=dtype).masked_fill_(hidden, float("-inf"))


def _heads_first(rows_THE: torch.Tensor) -> torch.Tensor:
    return rows_THE.transpose(0, 1).unsqueeze(0)


class VarlenAttention:
    """One flash-attention call for the whole forward, over keys and values gathered by two index copies.

    kernel: what `torch.nn.attention.varlen.varlen_attn` does; that one by default.
    """

    def __init__(self, segments: Sequence[Segment], device: torch.device, kernel: Kernel | None = None) -> None:
        self._kernel = kernel or _flash_kernel()
        lengths = [segment.depth + segment.stop - segment.start for segment in segments]
        counts = [segment.stop - segment.start for segment in segments]
        self._query_ends = _offsets(counts, device)
        self._key_ends = _offsets(lengths, device)
        self._longest = max(counts), max(lengths)
        self._context = sum(lengths)
        self._rows = sum(counts)
        sources = _sources(segments, lengths)
        self._slots, self._slot_places, self._fresh, self._fresh_places = (
            torch.from_numpy(source).to(device) for source in sources
        )

    def __call__(
        self, query_THE: torch.Tensor, fresh: KeysValues, past: KeysValues | None, window: int | None
    ) -> torch.Tensor:
        attended = self._kernel(
            query_THE[: self._rows],
            self._gather(fresh[0], past and past[0]),
            self._gather(fresh[1], past and past[1]),
            self._query_ends,
            self._key_ends,
            *self._longest,
            window_size=(-1 if window is None else window - 1, 0),
            enable_gqa=True,
            num_splits=1,
        )
        return functional.pad(attended, (0, 0, 0, 0, 0, query_THE.shape[0] - self._rows))

    def _gather(self, fresh_TGE: torch.Tensor, past: torch.Tensor | None) -> torch.Tensor:
        gathered = fresh_TGE.new_empty((self._context, *fresh_TGE.shape[1:]))
        gathered.index_copy_(0, self._fresh_places, fresh_TGE.index_select(0, self._fresh))
        if past is not None and len(self._slots):
            gathered.index_copy_(0, self._slot_places, past.index_select(0, self._slots))
        return gathered


def _flash_kernel() -> Kernel:
    from torch.nn.attention import varlen  # only where it is used: it needs a GPU

    return cast("Kernel", varlen.varlen_attn)


def _offsets(lengths: Sequence[int], device: torch.device) -> torch.Tensor:
    return torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32, device=device)


def _sources(segments: Sequence[Segment], lengths: Sequence[int]) -> tuple[Indices, Indices, Indices, Indices]:
    """Slots and their places in the gathered context, then fresh rows and theirs."""
    slots = np.concatenate([segment.slots for segment in segments])
    fresh = np.concatenate([np.arange(*bounds) for segment in segments for bounds in segment.context])
    cached = np.concatenate(
        [np.arange(length) < len(segment.slots) for segment, length in zip(segments, lengths, strict=True)]
    )
    places = np.arange(len(cached))
    return slots, places[cached], fresh, places[~cached]
