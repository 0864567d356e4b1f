"""Filling one forward: which sequences of which works it computes, whole or up to its token budget."""

from __future__ import annotations

from math import inf

from stepscore.engine.protocol import SMALLEST_SHARE, Work
from stepscore.engine.torch.planning import Plan
from stepscore.engine.torch.radix import TreeCursor
from stepscore.types import Encoded, Values


class Chunks:
    """Fills a plan with works, up to `budget` new tokens and each up to its token budget.

    A sequence that costs more than its work's token budget is computed chunk by chunk; its keys and values stay locked
    in between. If the pool has no room for them, or nothing is kept at all, it is computed whole.
    """

    def __init__(self, plan: Plan, budget: float = inf) -> None:
        self._plan = plan
        self._budget = budget
        self._taken: list[tuple[Work, TreeCursor | None]] = []

    def take(self, work: Work) -> bool:
        """Take what fits of a work; False if something is left for a later forward."""
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

    def commit(self) -> None:
        """The forward was started: keep what is to be continued."""
        parts = [(work, part) for work, part in self._taken if part is not None and part.kept]
        for _, cursor in parts:
            cursor.lock()
        self._plan.commit()
        for work, _ in self._taken:
            work.release()
        for work, cursor in parts:
            work.cursor = cursor

    def finish(self, values: Values) -> int:
        """Append the numbers to the works' outputs. After `commit`.

        values: (P, C) of the plan. Returns the tokens of the sequences that are finished.
        """
        tokens = 0
        for (work, part), numbers in zip(self._taken, self._plan.finish(values), strict=True):
            if part is None:
                tokens += len(work.encoded.sequences[len(work.outputs)].ids)
                work.outputs.append(numbers)
        return tokens

    def _take_part(self, work: Work, sequence: Encoded, room: int) -> bool:
        """Compute `room` tokens of a sequence. True if it had to be taken whole all the same."""
        if self._plan.rows and room < work.token_budget // SMALLEST_SHARE:
            return False
        part = self._plan.add_part(sequence, max(1, room))
        if part is not None:
            self._taken.append((work, part))
            if part.kept:
                return False
        self._add(work, sequence)
        return True

    def _add(self, work: Work, sequence: Encoded) -> None:
        self._plan.add(sequence)
        self._taken.append((work, None))
