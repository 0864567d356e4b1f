"""A radix tree over token sequences: what was computed, where its keys and values are, and what was read there.

A node owns a run of tokens. Its state is one of three: kept (slots, no row: usable by any forward), pending (a row of
the running forward, and slots if it will be kept) or passing (a row but no slots: gone when the forward ends). The
descendants of a passing node are passing too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from stepscore.engine.torch.kv_pool import SlotPool
from stepscore.engine.torch.packing import NO_SLOTS, Indices
from stepscore.types import Ids, Values

Read = tuple[int, int]
"""A position and the target that was read there."""

NO_ROW = -1
VALUES_PER_TOKEN = 4
"""Numbers kept per token of a node: siblings read different targets at the token at which they diverge."""


class Node:
    """A run of tokens. depth: position of the first; row: its row in the running forward, or NO_ROW."""

    __slots__ = ("children", "depth", "ids", "locks", "parent", "row", "slots", "tick", "values")

    def __init__(self, ids: Ids, depth: int, parent: Node | None, slots: Indices | None, row: int) -> None:
        self.ids = ids
        self.depth = depth
        self.parent = parent
        self.slots = slots
        self.row = row
        self.children: dict[int, Node] = {}
        self.values: dict[Read, Values] = {}
        self.locks = 0
        self.tick = 0

    @property
    def end(self) -> int:
        return self.depth + len(self.ids)

    def path(self) -> list[Node]:
        """From the first node under the root to this one."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def remember(self, read: Read, values: Values) -> None:
        """Store numbers at a position of this node, and drop the oldest if there are too many."""
        self.values[read] = values
        if len(self.values) > VALUES_PER_TOKEN * len(self.ids):
            del self.values[next(iter(self.values))]


class RadixTree:
    """Not thread-safe. The slots of its nodes come from one pool, so that their number can never exceed its size."""

    def __init__(self, slots: SlotPool) -> None:
        self._pool = slots
        self._roots: dict[str, Node] = {}
        self._used: list[tuple[int, int, Node]] = []
        self._serial = count()
        self._tick = 0
        self.evicted = 0

    @property
    def kept(self) -> int:
        """Tokens that are kept now."""
        return self._pool.used

    @property
    def capacity(self) -> int:
        """Tokens that can be kept."""
        return self._pool.capacity

    def match_prefix(self, salt: str, ids: Ids) -> tuple[list[Node], int]:
        """The nodes that the sequence runs through, the last one perhaps in part, and how many tokens match."""
        node = self._roots.get(salt)
        nodes: list[Node] = []
        matched = 0
        while node is not None and matched < len(ids):
            child = node.children.get(ids[matched])
            if child is None:
                break
            nodes.append(child)
            shared = _shared(child.ids, ids, matched)
            matched += shared
            node = child if shared == len(child.ids) else None
        return nodes, matched

    def split_at(self, salt: str, ids: Ids) -> Node:
        """The node at whose end the longest known prefix of the sequence ends (a root if nothing is known)."""
        nodes, matched = self.match_prefix(salt, ids)
        if not nodes:
            return self._roots.setdefault(salt, Node((), 0, None, NO_SLOTS, NO_ROW))
        last = nodes[-1]
        return last if last.end == matched else self._split(last, matched - last.depth)

    def insert(self, parent: Node, ids: Ids, row: int) -> Node:
        """A new node of tokens that the running forward computes; kept if the pool has room for it.

        The parent must be locked, or it might be evicted to make that room.
        """
        passing = parent.slots is None
        node = Node(ids, parent.end, parent, None if passing else self._take(len(ids)), row)
        parent.children[ids[0]] = node
        return node

    def lock(self, node: Node) -> None:
        """Protect a node (and so its ancestors) from eviction, and mark all of them as just used."""
        node.locks += 1
        self._tick += 1
        for each in node.path():
            each.tick = self._tick

    def unlock(self, node: Node) -> None:
        node.locks -= 1
        self._offer(node)

    def evict(self, node: Node) -> None:
        """Remove a node and its descendants from the tree, and free their slots."""
        assert node.parent is not None
        if node.parent.children.get(node.ids[0]) is node:
            del node.parent.children[node.ids[0]]
            self._offer(node.parent)
        for each in _below(node):
            if each.slots is not None:
                self._pool.free(each.slots)
            each.slots, each.parent, each.tick = None, None, -1

    def clear(self) -> None:
        """Forget everything, while no forward is being planned.

        A lock on a removed node protects nothing and may be released.
        """
        for root in self._roots.values():
            for child in list(root.children.values()):
                self.evict(child)
        self._roots.clear()
        self._used.clear()

    def nodes(self) -> Iterator[Node]:
        """Every node but the roots."""
        for root in self._roots.values():
            for child in root.children.values():
                yield from _below(child)

    def _split(self, node: Node, size: int) -> Node:
        """Split a node in two and return the new upper half; the given object becomes the lower one."""
        assert node.parent is not None
        whole = node.slots
        upper = Node(node.ids[:size], node.depth, node.parent, None if whole is None else whole[:size], node.row)
        upper.tick, upper.children = node.tick, {node.ids[size]: node}
        node.parent.children[node.ids[0]] = upper
        node.ids, node.depth, node.parent = node.ids[size:], node.depth + size, upper
        node.slots = None if whole is None else whole[size:]
        node.row = node.row if node.row == NO_ROW else node.row + size
        upper.values = {read: kept for read, kept in node.values.items() if read[0] < node.depth}
        node.values = {read: kept for read, kept in node.values.items() if read[0] >= node.depth}
        return upper

    def _take(self, size: int) -> Indices | None:
        """Slots for new tokens; the least recently used leaves are evicted to make room."""
        while self._pool.available < size and (victim := self._oldest()) is not None:
            before = self._pool.used
            self.evict(victim)
            self.evicted += before - self._pool.used
        return self._pool.allocate(size)

    def _offer(self, node: Node) -> None:
        """Record that a node may be evicted, if it may. A newer tick makes older records of the same node void."""
        if node.locks or node.children or node.slots is None or node.parent is None or node.row != NO_ROW:
            return
        heapq.heappush(self._used, (node.tick, next(self._serial), node))
        if len(self._used) > 64 + 4 * self._pool.used:
            self._used = [note for note in self._used if _evictable(note)]
            heapq.heapify(self._used)

    def _oldest(self) -> Node | None:
        while self._used:
            note = heapq.heappop(self._used)
            if _evictable(note):
                return note[2]
        return None


@dataclass(frozen=True, slots=True)
class TreeCursor:
    """The node at which the computed part of a sequence ends."""

    tree: RadixTree
    node: Node

    @property
    def kept(self) -> bool:
        """Whether it outlives the forward."""
        return self.node.slots is not None

    def lock(self) -> None:
        self.tree.lock(self.node)

    def release(self) -> None:
        self.tree.unlock(self.node)


def _evictable(note: tuple[int, int, Node]) -> bool:
    tick, _, node = note
    return node.tick == tick and not node.locks and not node.children and node.row == NO_ROW


def _below(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        each = stack.pop()
        stack.extend(each.children.values())
        yield each


def _shared(run: Ids, ids: Ids, start: int) -> int:
    """How many tokens of the run are in the sequence from `start` on."""
    if ids[start : start + len(run)] == run:
        return len(run)
    low, high = 0, min(len(run), len(ids) - start)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if ids[start : start + middle] == run[:middle] else (low, middle - 1)
    return low
