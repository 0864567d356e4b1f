"""Which tokens a forward computes: what every plan has in common, and the plan that shares nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from stepscore.engine.torch.packing import NO_SLOTS, NO_TARGET, Indices, Packed, Segment, pack
from stepscore.engine.torch.radix import Read, TreeCursor
from stepscore.types import Encoded, Ids, Values

Ranges = tuple[tuple[int, int], ...]


def needed_ids(encoded: Encoded) -> Ids:
    """The tokens up to the last read: what comes later cannot change a number."""
    return encoded.ids[: encoded.reads[-1] + 1] if encoded.reads else ()


def reads_of(encoded: Encoded) -> list[Read]:
    targets = encoded.targets or (NO_TARGET,) * len(encoded.reads)
    return list(zip(encoded.reads, targets, strict=True))


class Plan(Protocol):
    """One forward: sequences go in, it is started, and when it has run their numbers come out."""

    @property
    def rows(self) -> int: ...

    def cost(self, encoded: Encoded) -> int:
        """Rows that this sequence would add now, at most."""
        ...

    def add(self, encoded: Encoded) -> None: ...

    def add_part(self, encoded: Encoded, rows: int) -> TreeCursor | None:
        """Add as much of a sequence as costs `rows` (less than all of it); None, and nothing, if nothing is kept."""
        ...

    def packed(self) -> Packed: ...

    def commit(self) -> None:
        """The forward was started: forwards that are started later may use what it keeps."""
        ...

    def finish(self, values: Values) -> list[Values]:
        """The numbers of every sequence added, in order. values: (P, C), one row for each packed pair."""
        ...

    def abandon(self) -> None:
        """Undo, after a forward that could not be started."""
        ...


@dataclass(slots=True)
class Rows:
    """The rows and pairs collected so far."""

    ids: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    pairs: dict[tuple[int, int], int] = field(default_factory=dict)

    def add_segment(self, ids: Ids, depth: int, slots: Indices = NO_SLOTS, past: Ranges = ()) -> int:
        """Append a segment and return its first row."""
        start = len(self.ids)
        self.ids.extend(ids)
        self.segments.append(Segment(start, len(self.ids), depth, slots, past))
        return start

    def pair(self, row: int, target: int) -> int:
        """The number of the pair, the same for the same row and target."""
        return self.pairs.setdefault((row, target), len(self.pairs))

    def packed(self, keep: list[tuple[int, Indices]]) -> Packed:
        return pack(self.ids, self.segments, list(self.pairs), keep)


class UnsharedPlan:
    """Every sequence separately; only identical sequences are computed once."""

    def __init__(self) -> None:
        self._collected = Rows()
        self._seen: dict[Encoded, list[int]] = {}
        self._order: list[Encoded] = []

    @property
    def rows(self) -> int:
        return len(self._collected.ids)

    def cost(self, encoded: Encoded) -> int:
        return 0 if encoded in self._seen else len(needed_ids(encoded))

    def add(self, encoded: Encoded) -> None:
        self._order.append(encoded)
        if encoded in self._seen:
            return
        ids = needed_ids(encoded)
        first = self._collected.add_segment(ids, 0) if ids else 0
        self._seen[encoded] = [self._collected.pair(first + at, target) for at, target in reads_of(encoded)]

    def add_part(self, encoded: Encoded, rows: int) -> None:
        """Nothing is kept, so every sequence is computed whole."""

    def packed(self) -> Packed:
        return self._collected.packed([])

    def commit(self) -> None:
        """Nothing is kept."""

    def finish(self, values: Values) -> list[Values]:
        return [values[self._seen[encoded]] for encoded in self._order]

    def abandon(self) -> None:
        """Nothing outlives the plan."""
