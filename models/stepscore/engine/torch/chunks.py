"""Filling one forward: which sequences of which works it computes, whole or up to where its tokens end."""

from __future__ import annotations

from math import inf

from stepscore.engine.torch.planning import Plan
from stepscore.engine.torch.radix import Node, RadixTree
from stepscore.engine.torch.tree_plan import TreePlan
from stepscore.engine.work import Work
from stepscore.types import Encoded, Values

SMALLEST_SHARE = 8
"""A part smaller than this share of the forward waits for the next one, where it will be larger."""


class Chunks:
    """Fills a plan with works, up to `budget` new tokens and each up to its token budget.

    A sequence that costs more than its work's token budget is computed chunk by chunk; its keys and values stay locked
    in between. If the pool has no room for them, or nothing is kept at all, it is computed whole.
    """

    def __init__(self, plan: Plan, budget: float = inf) -> None:
        self._plan = plan
        self._budget = budget
        self._taken: list[tuple[Work, Node | None]] = []

    def take(self, work: Work) -> bool:
        """Take what fits of a work; False where something is left for a later forward."""
        left = work.token_budget
        for sequence in work.remaining.sequences:
            cost = self._plan.cost(sequence)
            room = self._budget - self._plan.rows
            if cost > left:
                if not self._take_part(work, sequence, int(min(left, room))):
                    return False
            elif cost > room:
                return False
            else:
                self._add(work, sequence)
            left -= cost
        return True

    def finish(self, values: Values, tree: RadixTree | None) -> int:
        """Hand the numbers out, and hold what goes on; the tokens of the sequences that are finished.

        values: (P, C) of the plan.
        """
        tokens = 0
        locked = [(work, end) for work, end in self._taken if end is not None and end.slots is not None]
        for _, node in locked:
            _of(tree).lock(node)
        for (work, end), numbers in zip(self._taken, self._plan.finish(values), strict=True):
            if end is None:
                tokens += len(work.encoded.sequences[len(work.outputs)].ids)
                work.outputs.append(numbers)
                let_go(work, tree)
        for work, node in locked:
            let_go(work, tree)
            work.cursor = node
        return tokens

    def _take_part(self, work: Work, sequence: Encoded, room: int) -> bool:
        """Compute `room` tokens of a sequence. True where it had to be taken whole all the same."""
        if self._plan.rows and room < work.token_budget // SMALLEST_SHARE:
            return False
        if isinstance(self._plan, TreePlan) and self._plan.keeps:
            end = self._plan.add_part(sequence, max(1, room))
            self._taken.append((work, end))
            if end.slots is not None:
                return False
        self._add(work, sequence)
        return True

    def _add(self, work: Work, sequence: Encoded) -> None:
        self._plan.add(sequence)
        self._taken.append((work, None))


def let_go(work: Work, tree: RadixTree | None) -> None:
    """Take back the hold on a work's next sequence."""
    if isinstance(work.cursor, Node):
        _of(tree).unlock(work.cursor)
    work.cursor = None


def _of(tree: RadixTree | None) -> RadixTree:
    assert tree is not None, "only what is kept in a tree can be held"
    return tree
