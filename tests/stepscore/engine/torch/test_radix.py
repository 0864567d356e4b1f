"""The radix tree and its slots: the budget holds, and what is known is always true."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stepscore.engine.torch.kv_pool import SlotPool
from stepscore.engine.torch.packing import NO_TARGET
from stepscore.engine.torch.planning import needed_ids
from stepscore.engine.torch.radix import NO_ROW, RadixTree
from stepscore.engine.torch.tree_plan import TreePlan
from stepscore.types import Encoded

CAPACITY = 40
IDS = st.lists(st.integers(0, 2), min_size=1, max_size=14).map(tuple)


def truth(ids: tuple[int, ...], read: int, target: int = NO_TARGET) -> float:
    """What a forward would read: a number that only these tokens give."""
    return float(hash((*ids[: read + 1], target)) % 1_000_003)


class TreeMachine(RuleBasedStateMachine):
    """Random forwards, some of which fail, some of which extend what is known, over a pool that is far too small.

    Of some the numbers come only after the next one was started.

    The slots' contents stand in for keys and values: each holds the prefix that its token closes, so that a segment
    that is sent to wrong slots is found at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool = SlotPool(CAPACITY)
        self.tree = RadixTree(self.pool)
        self.contents: dict[int, tuple[int, ...]] = {}
        self.sent: list[tuple[int, ...]] = []
        self.in_flight: list[tuple[TreePlan, list[Encoded], np.ndarray]] = []

    @rule(
        data=st.data(),
        count=st.integers(1, 5),
        fails=st.booleans(),
        salt=st.sampled_from(["", "other"]),
        late=st.booleans(),
    )
    def forward(self, data: st.DataObject, count: int, fails: bool, salt: str, late: bool) -> None:
        plan = TreePlan(self.tree)
        batch = [self.sequence(data, salt) for _ in range(count)]
        for encoded in batch:
            before, cost = plan.rows, plan.cost(encoded)
            plan.add(encoded)
            assert before <= plan.rows <= before + cost
        packed = plan.packed()
        values = self.run(packed)
        if fails:
            plan.abandon()
            return
        prefixes = self.prefixes(packed)
        for slot, row in zip(packed.keep_slots.tolist(), packed.keep_rows.tolist(), strict=True):
            self.contents[slot] = prefixes[row]
        plan.commit()
        self.in_flight.append((plan, batch, values))
        while len(self.in_flight) > late:
            self.finish(*self.in_flight.pop(0))

    def finish(self, plan: TreePlan, batch: list[Encoded], values: np.ndarray) -> None:
        for encoded, numbers in zip(batch, plan.finish(values), strict=True):
            wanted = [
                truth(encoded.ids, read, target) for read, target in zip(encoded.reads, encoded.targets, strict=True)
            ]
            assert numbers[:, 0].tolist() == wanted

    @rule()
    def purge(self) -> None:
        self.tree.clear()
        assert self.pool.used == 0

    @invariant()
    def the_budget_holds(self) -> None:
        held = [slot for node in self.tree.nodes() if node.slots is not None for slot in node.slots.tolist()]
        assert len(held) == len(set(held)) == self.pool.used <= CAPACITY

    @invariant()
    def between_forwards_everything_is_kept_and_whole(self) -> None:
        for node in self.tree.nodes():
            assert node.row == NO_ROW
            assert node.locks == 0 or self.in_flight
            assert node.slots is not None
            assert len(node.slots) == len(node.ids)
            prefix = tuple(token for each in node.path() for token in each.ids)
            for offset, slot in enumerate(node.slots.tolist()):
                assert self.contents[slot] == prefix[: node.depth + offset + 1]
            for (position, target), numbers in node.values.items():
                assert node.depth <= position < node.end
                assert numbers[0] == np.float32(truth(prefix, position, target))

    def sequence(self, data: st.DataObject, salt: str) -> Encoded:
        start = data.draw(st.sampled_from([(), *self.sent[-6:]]))
        ids = (start + data.draw(IDS))[-30:]
        self.sent.append(ids)
        reads = tuple(sorted(data.draw(st.sets(st.integers(0, len(ids) - 1), min_size=1, max_size=4))))
        targets = tuple(data.draw(st.sampled_from([NO_TARGET, 5, 6])) for _ in reads)
        return Encoded(ids, reads, targets, salt)

    def run(self, packed: Any) -> np.ndarray:
        """Numbers for the pairs, made from what each row can see through its segment's slots and rows."""
        prefixes = self.prefixes(packed)
        pairs = zip(packed.pair_rows.tolist(), packed.pair_targets.tolist(), strict=True)
        return np.array([[truth(prefixes[row], len(prefixes[row]) - 1, target)] for row, target in pairs], np.float32)

    def prefixes(self, packed: Any) -> dict[int, tuple[int, ...]]:
        """The prefix that each row closes."""
        prefixes: dict[int, tuple[int, ...]] = {}
        for segment in packed.segments:
            past = tuple(self.contents[slot][-1] for slot in segment.slots.tolist())
            past += tuple(int(packed.ids[row]) for start, stop in segment.past for row in range(start, stop))
            assert len(past) == segment.depth
            if len(segment.slots):
                assert self.contents[int(segment.slots[-1])] == past[: len(segment.slots)]
            for row in range(segment.start, segment.stop):
                past += (int(packed.ids[row]),)
                prefixes[row] = past
        return prefixes


TreeMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestTree = TreeMachine.TestCase


def test_the_leaf_unused_for_longest_goes_first() -> None:
    tree = RadixTree(SlotPool(9))
    for ids in ((1, 1, 1), (2, 2, 2), (3, 3, 3)):
        _know(tree, ids)
    _know(tree, (1, 1, 1))
    _know(tree, (4, 4, 4))
    assert [tree.match_prefix("", (token,) * 3)[1] for token in (1, 2, 3, 4)] == [3, 0, 3, 3]


def test_a_shared_prefix_outlives_its_leaves() -> None:
    tree = RadixTree(SlotPool(8))
    for last in (5, 6, 7, 8, 9):
        _know(tree, (1, 2, 3, 4, last, last))
    assert tree.match_prefix("", (1, 2, 3, 4, 9, 9))[1] == 6
    assert tree.match_prefix("", (1, 2, 3, 4, 5, 5))[1] == 4


def _know(tree: RadixTree, ids: tuple[int, ...]) -> None:
    plan = TreePlan(tree)
    plan.add(Encoded(ids, (len(ids) - 1,)))
    plan.commit()
    plan.finish(np.zeros((len(plan.packed().pair_rows), 1), dtype=np.float32))


def test_tokens_after_the_last_read_are_not_computed() -> None:
    assert needed_ids(Encoded((1, 2, 3, 4), (0, 1))) == (1, 2)
