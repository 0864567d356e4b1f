"""Which tokens a forward computes, for sequences that share prefixes with each other and with earlier calls."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from stepscore.engine.torch.packing import NO_SLOTS, NO_TARGET, Indices, Packed
from stepscore.engine.torch.planning import Ranges, Rows, needed_ids, reads_of
from stepscore.engine.torch.radix import NO_ROW, Node, RadixTree, Read, TreeCursor
from stepscore.types import Encoded, Ids, Values


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A sequence of the plan: where it ends in the tree, and for each read the stored numbers or the pair to come.

    whole: whether the sequence ends here, or goes on in a later forward.
    """

    end: Node
    reads: list[Read]
    sources: list[Values | int]
    whole: bool


class TreePlan:
    """Every prefix once: shared inside the forward by rows, with earlier forwards by slots and stored numbers."""

    def __init__(self, tree: RadixTree) -> None:
        self._tree = tree
        self._collected = Rows()
        self._wanted: list[_Wanted] = []
        self._grown: list[Node] = []
        self._again: dict[tuple[int, int], int] = {}

    @property
    def rows(self) -> int:
        return len(self._collected.ids)

    def cost(self, encoded: Encoded) -> int:
        return tree_cost(self._tree, encoded)

    def add(self, encoded: Encoded) -> None:
        self._add(encoded.cache_salt, needed_ids(encoded), reads_of(encoded))

    def add_part(self, encoded: Encoded, rows: int) -> TreeCursor | None:
        if not self._tree.capacity:
            return None
        known, again = _progress(self._tree, encoded)
        stop = again[rows - 1] + 1 if rows <= len(again) else known + rows - len(again)
        reads = [read for read in reads_of(encoded) if read[0] < stop]
        return TreeCursor(self._tree, self._add(encoded.cache_salt, encoded.ids[:stop], reads, whole=False))

    def _add(self, salt: str, ids: Ids, reads: list[Read], *, whole: bool = True) -> Node:
        node = self._tree.split_at(salt, ids)
        self._tree.lock(node)
        if node.end < len(ids):
            node = self._grow(node, ids)
        self._wanted.append(_Wanted(node, reads, self._sources(node.path(), reads), whole))
        return node

    def packed(self) -> Packed:
        return self._collected.packed([(n.row, n.slots) for n in self._fresh() if n.slots is not None])

    def commit(self) -> None:
        """Rows that are kept become slots, the others leave the tree. What was wanted stays locked until it is read."""
        anchors = [_deepest_kept(wanted.end) for wanted in self._wanted]
        for anchor in anchors:
            self._tree.lock(anchor)
        fresh = self._fresh()
        for node in fresh:
            if node.slots is not None:
                node.row = NO_ROW
        self._release(fresh)
        self._wanted = [replace(wanted, end=anchor) for wanted, anchor in zip(self._wanted, anchors, strict=True)]

    def finish(self, values: Values) -> list[Values]:
        results = [self._result(wanted, values) for wanted in self._wanted]
        for wanted in self._wanted:
            self._remember(wanted, values)
            self._tree.unlock(wanted.end)
        for wanted, result in zip(self._wanted, results, strict=True):
            if wanted.whole and not np.isfinite(result).all():
                self._forget_path(wanted.end)
        return results

    def abandon(self) -> None:
        self._release(self._fresh())

    def _forget_path(self, end: Node) -> None:
        """Remove all that a sequence shares: a number that is not finite reaches rows before it through attention.

        Only after its last part: a sequence of many forwards that is forgotten on the way would never end.
        """
        for top in end.path()[:1]:
            self._tree.evict(top)

    def _grow(self, parent: Node, ids: Ids) -> Node:
        """Add the unknown rest of a sequence below its known part; the lock moves down with it."""
        slots, past = _context(parent.path(), parent.end)
        rest = ids[parent.end :]
        row = self._collected.add_segment(rest, parent.end, slots, past)
        node = self._tree.insert(parent, rest, row)
        self._grown.append(node)
        self._tree.lock(node)
        self._tree.unlock(parent)
        return node

    def _sources(self, path: list[Node], reads: list[Read]) -> list[Values | int]:
        """Stored numbers, or the pair to come, for every read."""
        sources: list[Values | int] = []
        pair = self._collected.pair
        for node, part in _by_node(path, reads):
            if node.row != NO_ROW and not node.values:
                row = node.row - node.depth
                sources += [pair(row + position, target) for position, target in part]
            else:
                sources += [self._source(path, node, read) for read in part]
        return sources

    def _source(self, path: list[Node], node: Node, read: Read) -> Values | int:
        if (stored := node.values.get(read)) is not None:
            return stored
        position, target = read
        row = node.row + position - node.depth if node.row != NO_ROW else self._row_again(path, node, position)
        return self._collected.pair(row, target)

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
        fresh = [source for source in wanted.sources if isinstance(source, int)]
        if len(fresh) == len(wanted.sources):
            return values[fresh]
        return np.stack([values[source] if isinstance(source, int) else source for source in wanted.sources])

    def _remember(self, wanted: _Wanted, values: Values) -> None:
        fresh = [
            (read, source) for read, source in zip(wanted.reads, wanted.sources, strict=True) if type(source) is int
        ]
        if not fresh:
            return
        kept = iter(values[[source for _, source in fresh]])  # a copy, so that no caller's array is kept or changed
        for node, part in _by_node(wanted.end.path(), [read for read, _ in fresh]):
            for read in part:
                node.remember(read, next(kept))

    def _fresh(self) -> list[Node]:
        """The nodes that this plan grew, with the upper halves that later splits cut off them."""
        found: dict[int, Node] = {}
        for node in self._grown:
            each: Node | None = node
            while each is not None and each.row != NO_ROW and id(each) not in found:
                found[id(each)] = each
                each = each.parent
        return list(found.values())

    def _release(self, fresh: list[Node]) -> None:
        """Unlock what was wanted; nodes that still have rows leave the tree."""
        for node in fresh:
            if node.row != NO_ROW and node.parent is not None:
                self._tree.evict(node)
        for wanted in self._wanted:
            self._tree.unlock(wanted.end)


def _deepest_kept(node: Node) -> Node:
    """The node itself, or the last one on the way to it that outlives the forward."""
    while node.slots is None and node.parent is not None:
        node = node.parent
    return node


def tree_cost(tree: RadixTree, encoded: Encoded) -> int:
    """Tokens that a sequence would compute now: its unknown rest, and known tokens that were never read this way."""
    known, again = _progress(tree, encoded)
    return len(needed_ids(encoded)) - known + len(again)


def _progress(tree: RadixTree, encoded: Encoded) -> tuple[int, list[int]]:
    """How many tokens are known, and the positions among them that were never read this way, ascending."""
    nodes, known = tree.match_prefix(encoded.cache_salt, needed_ids(encoded))
    reads = reads_of(encoded)
    old = reads[: bisect_left(reads, (known, NO_TARGET))]
    again = {
        read[0] for node, part in _by_node(nodes, old) if node.row == NO_ROW for read in part if read not in node.values
    }
    return known, sorted(again)


def _by_node(path: list[Node], reads: list[Read]) -> Iterator[tuple[Node, list[Read]]]:
    """The nodes of a path with the reads that lie in each; reads ascend, and none is after the path."""
    first = 0
    for node in path:
        if first == len(reads):
            return
        last = bisect_left(reads, (node.end, NO_TARGET), first)
        if last > first:
            yield node, reads[first:last]
        first = last


def _context(path: list[Node], end: int) -> tuple[Indices, Ranges]:
    """Slots and then rows of the tokens before position `end` on a path."""
    kept = [n.slots[: end - n.depth] for n in path if n.row == NO_ROW and n.slots is not None and n.depth < end]
    rows = tuple((n.row, n.row + min(len(n.ids), end - n.depth)) for n in path if n.row != NO_ROW and n.depth < end)
    return (np.concatenate(kept) if kept else NO_SLOTS), rows
