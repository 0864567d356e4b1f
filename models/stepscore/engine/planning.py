"""Which tokens a forward computes, for sequences that share prefixes with each other and with earlier calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from stepscore.engine.packing import NO_SLOTS, NO_TARGET, Indices, Packed, Segment, pack
from stepscore.engine.radix import NO_ROW, Ids, Node, RadixTree, Read
from stepscore.types import Encoded, Values

Ranges = tuple[tuple[int, int], ...]


def needed_ids(encoded: Encoded) -> Ids:
    """The tokens up to the last read: what comes later cannot change a number."""
    return encoded.ids[: encoded.reads[-1] + 1] if encoded.reads else ()


def reads_of(encoded: Encoded) -> list[Read]:
    targets = encoded.targets or (NO_TARGET,) * len(encoded.reads)
    return list(zip(encoded.reads, targets, strict=True))


class Plan(Protocol):
    """One forward in the making: sequences go in, then it is run, then their numbers come out."""

    @property
    def rows(self) -> int: ...

    def cost(self, encoded: Encoded) -> int:
        """Rows that this sequence would add now, at most."""
        ...

    def add(self, encoded: Encoded) -> None: ...

    def packed(self) -> Packed: ...

    def finish(self, values: Values) -> list[Values]:
        """The numbers of every sequence added, in order. values: (P, C), one row for each packed pair."""
        ...

    def abandon(self) -> None:
        """Undo, after a forward that failed."""
        ...


@dataclass(slots=True)
class _Rows:
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


class AlonePlan:
    """Every sequence by itself; only sequences that are the same in everything are computed once."""

    def __init__(self) -> None:
        self._collected = _Rows()
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

    def packed(self) -> Packed:
        return self._collected.packed([])

    def finish(self, values: Values) -> list[Values]:
        return [values[self._seen[encoded]] for encoded in self._order]

    def abandon(self) -> None:
        """Nothing outlives the plan."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A sequence of the plan: where it ends in the tree, and for each read the stored numbers or the pair to come."""

    end: Node
    reads: list[Read]
    sources: list[Values | int]


class TreePlan:
    """Every prefix once: shared inside the forward by rows, with earlier forwards by slots and stored numbers."""

    def __init__(self, tree: RadixTree) -> None:
        self._tree = tree
        self._collected = _Rows()
        self._wanted: list[_Wanted] = []
        self._grown: list[Node] = []
        self._again: dict[tuple[int, int], int] = {}

    @property
    def rows(self) -> int:
        return len(self._collected.ids)

    @property
    def keeps(self) -> bool:
        """Whether anything outlives the forward."""
        return self._tree.capacity > 0

    def cost(self, encoded: Encoded) -> int:
        return tree_cost(self._tree, encoded)

    def add(self, encoded: Encoded) -> None:
        self._add(encoded.salt, needed_ids(encoded), reads_of(encoded))

    def add_part(self, encoded: Encoded, rows: int) -> Node:
        """Add as much of a sequence as costs `rows` (less than all of it): the node at which that ends."""
        known, again = _progress(self._tree, encoded)
        stop = again[rows - 1] + 1 if rows <= len(again) else known + rows - len(again)
        reads = [read for read in reads_of(encoded) if read[0] < stop]
        return self._add(encoded.salt, encoded.ids[:stop], reads)

    def _add(self, salt: str, ids: Ids, reads: list[Read]) -> Node:
        node = self._tree.reach(salt, ids)
        self._tree.pin(node)
        if node.end < len(ids):
            node = self._grow(node, ids)
        path = node.path()
        self._wanted.append(_Wanted(node, reads, [self._source(path, read) for read in reads]))
        return node

    def packed(self) -> Packed:
        return self._collected.packed([(n.row, n.slots) for n in self._fresh() if n.slots is not None])

    def finish(self, values: Values) -> list[Values]:
        results = [self._result(wanted, values) for wanted in self._wanted]
        for node in self._fresh():
            if node.slots is not None:
                node.row = NO_ROW
        for wanted in self._wanted:
            self._remember(wanted, values)
        self._release(keep=True)
        return results

    def abandon(self) -> None:
        self._release(keep=False)

    def _grow(self, parent: Node, ids: Ids) -> Node:
        """Hang the unknown rest of a sequence under its known part; the pin moves down with it."""
        slots, past = _context(parent.path(), parent.end)
        rest = ids[parent.end :]
        row = self._collected.add_segment(rest, parent.end, slots, past)
        node = self._tree.grow(parent, rest, row)
        self._grown.append(node)
        self._tree.pin(node)
        self._tree.unpin(parent)
        return node

    def _source(self, path: list[Node], read: Read) -> Values | int:
        position, target = read
        node = _holder(path, position)
        if (stored := node.values.get(read)) is not None:
            return stored
        if node.row != NO_ROW:
            return self._collected.pair(node.row + position - node.depth, target)
        return self._collected.pair(self._row_again(path, node, position), target)

    def _row_again(self, path: list[Node], node: Node, position: int) -> int:
        """The row of a known token whose hidden state is needed once more: it sees its past, and is not kept."""
        assert node.slots is not None
        offset = position - node.depth
        key = int(node.slots[offset]), position
        if key not in self._again:
            slots, past = _context(path, position)
            self._again[key] = self._collected.add_segment((node.ids[offset],), position, slots, past)
        return self._again[key]

    def _result(self, wanted: _Wanted, values: Values) -> Values:
        rows = [values[source] if isinstance(source, int) else source for source in wanted.sources]
        return np.stack(rows) if rows else np.empty((0, values.shape[1]), dtype=np.float32)

    def _remember(self, wanted: _Wanted, values: Values) -> None:
        path = wanted.end.path()
        for read, source in zip(wanted.reads, wanted.sources, strict=True):
            if isinstance(source, int):
                _holder(path, read[0]).remember(read, values[source].copy())

    def _fresh(self) -> list[Node]:
        """The nodes that this plan grew, with the upper halves that later splits cut off them."""
        found: dict[int, Node] = {}
        for node in self._grown:
            each: Node | None = node
            while each is not None and each.row != NO_ROW and id(each) not in found:
                found[id(each)] = each
                each = each.parent
        return list(found.values())

    def _release(self, *, keep: bool) -> None:
        gone = [node for node in self._fresh() if not keep or node.slots is None]
        for node in gone:
            if node.parent is not None:
                self._tree.drop(node)
        for wanted in self._wanted:
            self._tree.unpin(wanted.end)


def tree_cost(tree: RadixTree, encoded: Encoded) -> int:
    """Tokens that a sequence would compute now: its unknown rest, and known tokens that were never read this way."""
    known, again = _progress(tree, encoded)
    return len(needed_ids(encoded)) - known + len(again)


def _progress(tree: RadixTree, encoded: Encoded) -> tuple[int, list[int]]:
    """How many tokens are known, and the positions among them that were never read this way, ascending."""
    nodes, known = tree.walk(encoded.salt, needed_ids(encoded))
    again = {
        position
        for position, target in reads_of(encoded)
        if position < known and not _readable(_holder(nodes, position), (position, target))
    }
    return known, sorted(again)


def _readable(node: Node, read: Read) -> bool:
    return node.row != NO_ROW or read in node.values


def _holder(path: list[Node], position: int) -> Node:
    """The node of the path that owns the position."""
    low, high = 0, len(path) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if position < path[middle].end else (middle + 1, high)
    return path[low]


def _context(path: list[Node], end: int) -> tuple[Indices, Ranges]:
    """Slots and then rows of the tokens before position `end` on a path."""
    kept = [n.slots[: end - n.depth] for n in path if n.row == NO_ROW and n.slots is not None and n.depth < end]
    rows = tuple((n.row, n.row + min(len(n.ids), end - n.depth)) for n in path if n.row != NO_ROW and n.depth < end)
    return (np.concatenate(kept) if kept else NO_SLOTS), rows
