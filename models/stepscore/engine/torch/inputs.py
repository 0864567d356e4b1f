"""What a forward needs on its device: every index in one buffer, copied once, without waiting for the device.

Shapes: T rows of the forward, P rows that are read, K rows that are kept, N segments, L tokens of all contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stepscore.engine.torch.packing import NO_SLOTS, Packed, Segment

ALIGNMENT = 16
"""Bytes: where an array may begin in the buffer."""


@dataclass(frozen=True, slots=True)
class ForwardInputs:
    """A packed forward's indices. T and P may be larger than the packed numbers: zeros fill them up.

    positions: (T,); last_position: the largest of them. read_rows: (P,). targets: one for each packed pair.
    keep_rows, keep_slots: (K,), the rows that outlive the forward. write: (T,) a slot for every row, scratch for those
    that are not kept. context: (L,) the slots that each segment sees, root first, segment after segment.
    query_ends, key_ends: (N + 1,) int32 ends of the segments among the rows and in the context.
    longest_query, longest_key: of any segment.
    """

    packed: Packed
    ids: torch.Tensor
    positions: torch.Tensor
    last_position: int
    read_rows: torch.Tensor
    targets: torch.Tensor
    keep_rows: torch.Tensor
    keep_slots: torch.Tensor
    write: torch.Tensor
    context: torch.Tensor
    query_ends: torch.Tensor
    key_ends: torch.Tensor
    longest_query: int
    longest_key: int

    @property
    def segments(self) -> tuple[Segment, ...]:
        return self.packed.segments


def load_inputs(packed: Packed, device: torch.device, *, rows: int, reads: int, scratch: int) -> ForwardInputs:
    """Copy a packed forward's indices to a device.

    rows, reads: T and P. scratch: the first scratch slot of the pools; row r takes scratch slot r if it is not kept.
    """
    indices = index_arrays(packed, rows=rows, reads=reads, scratch=scratch)
    return ForwardInputs(
        packed=packed,
        last_position=int(indices.positions.max()),
        longest_query=int(np.diff(indices.query_ends).max()),
        longest_key=int(np.diff(indices.key_ends).max()),
        **_views(indices, stage(indices, device).to(device, non_blocking=True)),
    )


class IndexArrays(NamedTuple):
    """On the host: the arrays of ForwardInputs, in the order in which the buffer holds them."""

    ids: NDArray[Any]
    positions: NDArray[Any]
    read_rows: NDArray[Any]
    targets: NDArray[Any]
    keep_rows: NDArray[Any]
    keep_slots: NDArray[Any]
    write: NDArray[Any]
    context: NDArray[Any]
    query_ends: NDArray[Any]
    key_ends: NDArray[Any]


def index_arrays(packed: Packed, *, rows: int, reads: int, scratch: int) -> IndexArrays:
    write = np.arange(scratch, scratch + rows, dtype=np.int64)
    write[packed.keep_rows] = packed.keep_slots
    counts = [segment.stop - segment.start for segment in packed.segments]
    return IndexArrays(
        ids=_padded(packed.ids, rows),
        positions=_padded(packed.positions(), rows),
        read_rows=_padded(packed.pair_rows, reads),
        targets=packed.pair_targets,
        keep_rows=packed.keep_rows,
        keep_slots=packed.keep_slots,
        write=write,
        context=_context(packed.segments, write),
        query_ends=_ends(counts),
        key_ends=_ends([segment.depth + count for segment, count in zip(packed.segments, counts, strict=True)]),
    )


def stage(indices: IndexArrays, device: torch.device) -> torch.Tensor:
    """The arrays in one buffer on the host; pinned if the device is CUDA, so that a copy of it does not wait."""
    starts = _starts(indices)
    staging = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    room = staging.numpy()
    for array, start in zip(indices, starts, strict=False):
        room[start : start + array.nbytes] = np.ascontiguousarray(array).view(np.uint8)
    return staging


def _views(indices: IndexArrays, buffer: torch.Tensor) -> dict[str, torch.Tensor]:
    """The arrays' names, and where each lies in the buffer of `stage`."""
    return {
        name: buffer[start : start + array.nbytes].view(torch.from_numpy(array[:0]).dtype)
        for name, array, start in zip(IndexArrays._fields, indices, _starts(indices), strict=False)
    }


def _starts(indices: IndexArrays) -> list[int]:
    return [0, *np.cumsum([ALIGNMENT * -(-array.nbytes // ALIGNMENT) for array in indices]).tolist()]


@dataclass(frozen=True, slots=True)
class FixedShape:
    """Sizes to which smaller forwards are filled up.

    rows: T and P. segments: two of them are filling. context: L. longest: rows that no segment exceeds.
    """

    rows: int
    segments: int
    context: int
    longest: int


class FixedInputs:
    """The indices of forwards of one shape, one forward after another at the same addresses.

    Rows beyond the packed ones are a segment of their own, which nobody reads: they write to scratch slots. What is
    left of the context is row 0's slot again and again, which holds numbers, and belongs to a last segment without
    rows. Reads beyond the packed ones read row 0.
    Only for attention that needs no other description of the segments (`VarlenAttention`, `DenseAttention`).
    """

    def __init__(self, shape: FixedShape, packed: Packed, device: torch.device, scratch: int) -> None:
        self._shape, self._device, self._scratch = shape, device, scratch
        indices = fixed_arrays(packed, shape, scratch)
        self._buffer = stage(indices, device).to(device, copy=True)
        self.inputs = ForwardInputs(
            packed=fill_up(packed, shape.rows),
            last_position=0,
            longest_query=shape.longest,
            longest_key=shape.context,
            **_views(indices, self._buffer),
        )

    def load(self, packed: Packed) -> None:
        """Put another forward in the place of the last one, after whatever the device still does with that."""
        staging = stage(fixed_arrays(packed, self._shape, self._scratch), self._device)
        self._buffer.copy_(staging, non_blocking=True)


def fixed_arrays(packed: Packed, shape: FixedShape, scratch: int) -> IndexArrays:
    indices = index_arrays(fill_up(packed, shape.rows), rows=shape.rows, reads=shape.rows, scratch=scratch)
    return indices._replace(
        targets=_padded(indices.targets, shape.rows),
        keep_rows=NO_SLOTS,
        keep_slots=NO_SLOTS,
        context=_padded(indices.context, shape.context, int(indices.write[0])),
        query_ends=_padded(indices.query_ends, shape.segments + 1, shape.rows),
        key_ends=np.append(_padded(indices.key_ends, shape.segments, indices.key_ends[-1]), np.int32(shape.context)),
    )


def fill_up(packed: Packed, rows: int) -> Packed:
    """The same forward with a segment more, if rows are missing: its first token, again and again.

    So nothing is computed whose numbers are not finite while those of the forward are.
    """
    used = len(packed.ids)
    if used == rows:
        return packed
    return replace(
        packed, ids=_padded(packed.ids, rows, int(packed.ids[0])), segments=(*packed.segments, Segment(used, rows, 0))
    )


def _padded(values: NDArray[Any], count: int, filling: int = 0) -> NDArray[Any]:
    """(count,): the values, then the filling."""
    return np.pad(values, (0, count - len(values)), constant_values=filling)


def _ends(lengths: Sequence[int]) -> NDArray[np.int32]:
    return np.cumsum([0, *lengths], dtype=np.int32)


def _context(segments: Sequence[Segment], write: NDArray[Any]) -> NDArray[Any]:
    parts = [
        part
        for segment in segments
        for part in (segment.slots, *(write[start:stop] for start, stop in segment.context))
    ]
    return np.concatenate(parts)
