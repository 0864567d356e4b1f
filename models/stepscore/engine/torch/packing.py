"""The one primitive's input: new tokens in a flat row, split into segments that know where their past is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
NO_SLOTS: Indices = np.empty(0, dtype=np.int64)
NO_TARGET = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows [start, stop) of a forward: tokens that follow each other, the first at position `depth`.

    slots: where the cached part of their past is in the KV pool, root first.
    past: ranges of rows of the same forward that hold the rest of their past, after the cached part.
    len(slots) and the ranges together cover exactly the positions before `depth`.
    """

    start: int
    stop: int
    depth: int
    slots: Indices = field(default_factory=lambda: NO_SLOTS)
    past: tuple[tuple[int, int], ...] = ()

    @property
    def context(self) -> tuple[tuple[int, int], ...]:
        """The row ranges that its tokens see, its own included, with neighbours joined."""
        joined: list[tuple[int, int]] = []
        for start, stop in (*self.past, (self.start, self.stop)):
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
        return tuple(joined)


@dataclass(frozen=True, slots=True)
class Packed:
    """One forward. T rows, P pairs of a row to read and the target to read there (NO_TARGET if there is none).

    keep_rows, keep_slots: rows whose keys and values are written to the KV pool, and where.
    """

    ids: Indices
    segments: tuple[Segment, ...]
    pair_rows: Indices
    pair_targets: Indices
    keep_rows: Indices
    keep_slots: Indices

    def positions(self) -> Indices:
        """(T,): the depth of every row."""
        return np.concatenate([np.arange(s.depth, s.depth + s.stop - s.start) for s in self.segments])


def pack(
    ids: Sequence[int],
    segments: Sequence[Segment],
    pairs: Sequence[tuple[int, int]],
    keep: Sequence[tuple[int, Indices]] = (),
) -> Packed:
    """Arrays of a forward. keep: the first row of a run of kept rows, and the run's slots."""
    rows_and_targets = np.fromiter(chain.from_iterable(pairs), np.int64, 2 * len(pairs)).reshape(-1, 2)
    return Packed(
        ids=np.asarray(ids, dtype=np.int64),
        segments=tuple(segments),
        pair_rows=rows_and_targets[:, 0],
        pair_targets=rows_and_targets[:, 1],
        keep_rows=_joined([np.arange(row, row + len(slots)) for row, slots in keep]),
        keep_slots=_joined([slots for _, slots in keep]),
    )


def _joined(parts: Sequence[Indices]) -> Indices:
    return np.concatenate(parts) if parts else NO_SLOTS
