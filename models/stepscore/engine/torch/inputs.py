"""What a forward needs on its device: every index in one buffer, copied once, without waiting for the device.

Shapes: T rows of the forward, P rows that are read, K rows that are kept, N segments, L tokens of all contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stepscore.engine.torch.packing import Indices, Packed, Segment

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
    write = np.arange(scratch, scratch + rows, dtype=np.int64)
    write[packed.keep_rows] = packed.keep_slots
    counts = [segment.stop - segment.start for segment in packed.segments]
    lengths = [segment.depth + count for segment, count in zip(packed.segments, counts, strict=True)]
    positions = packed.positions()
    arrays = (
        _padded(packed.ids, rows),
        _padded(positions, rows),
        _padded(packed.pair_rows, reads),
        packed.pair_targets,
        packed.keep_rows,
        packed.keep_slots,
        write,
        _context(packed.segments, write),
        _ends(counts),
        _ends(lengths),
    )
    ids, places, read_rows, targets, keep_rows, keep_slots, slots, context, query_ends, key_ends = upload(
        arrays, device
    )
    return ForwardInputs(
        packed=packed,
        ids=ids,
        positions=places,
        last_position=int(positions.max()),
        read_rows=read_rows,
        targets=targets,
        keep_rows=keep_rows,
        keep_slots=keep_slots,
        write=slots,
        context=context,
        query_ends=query_ends,
        key_ends=key_ends,
        longest_query=max(counts),
        longest_key=max(lengths),
    )


def upload(arrays: Sequence[NDArray[Any]], device: torch.device) -> list[torch.Tensor]:
    """The arrays on a device, as views of one buffer. From pinned memory on CUDA: the host does not wait."""
    starts = np.cumsum([0, *(_aligned(array.nbytes) for array in arrays)])
    staging = torch.empty(int(starts[-1]), dtype=torch.uint8, pin_memory=device.type == "cuda")
    room = staging.numpy()
    for array, start in zip(arrays, starts, strict=False):
        room[start : start + array.nbytes] = np.ascontiguousarray(array).view(np.uint8)
    buffer = staging.to(device, non_blocking=True)
    return [
        buffer[start : start + array.nbytes].view(torch.from_numpy(array[:0]).dtype)
        for array, start in zip(arrays, starts.tolist(), strict=False)
    ]


def _aligned(count: int) -> int:
    return ALIGNMENT * -(-count // ALIGNMENT)


def _padded(values: Indices, count: int) -> Indices:
    """(count,): the values, then zeros."""
    return np.pad(values, (0, count - len(values)))


def _ends(lengths: Sequence[int]) -> NDArray[np.int32]:
    return np.cumsum([0, *lengths], dtype=np.int32)


def _context(segments: Sequence[Segment], write: Indices) -> Indices:
    parts = [
        part
        for segment in segments
        for part in (segment.slots, *(write[start:stop] for start, stop in segment.context))
    ]
    return np.concatenate(parts)
