"""Which solutions the next forward computes: a pure function of the queue, the budget and the time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from stepscore.types import EncodedSolution

PATIENCE_SECONDS = 1.0
"""After this long a call is overdue: half of every forward goes to the oldest overdue calls."""
LOOKAHEAD = 32
"""Calls whose next solution does not fit that are passed over before a batch is closed."""


@dataclass(eq=False, slots=True)
class Item:
    """One solution that waits. index: its place in its call."""

    call: Call
    index: int
    encoded: EncodedSolution

    @property
    def tokens(self) -> int:
        return self.encoded.tokens


@dataclass(eq=False, slots=True)
class Call:
    """One request: the solutions of it that still wait, in order, and the tokens that they ask for.

    arrived, deadline: on the clock of `now`. departed: the caller no longer wants the answer.
    """

    arrived: float
    deadline: float = math.inf
    departed: bool = False
    waiting: deque[Item] = field(default_factory=deque)
    tokens: int = 0

    def add(self, index: int, encoded: EncodedSolution) -> None:
        self.waiting.append(Item(self, index, encoded))
        self.tokens += encoded.tokens

    def take(self, count: int) -> list[Item]:
        """Remove the first `count` items."""
        items = [self.waiting.popleft() for _ in range(count)]
        self.tokens -= sum(item.tokens for item in items)
        return items


@dataclass(frozen=True, slots=True)
class Taken:
    """The next batch as (call, how many of its first items), and the calls that must leave the queue unanswered."""

    picks: tuple[tuple[Call, int], ...]
    departed: tuple[Call, ...]
    expired: tuple[Call, ...]


def take_batch(
    queue: Sequence[Call],
    budget: int,
    now: float,
    *,
    price: Callable[[Item], int] = lambda item: item.tokens,
    max_items: int = 0,
    patience: float = PATIENCE_SECONDS,
) -> Taken:
    """Choose what to compute next; changes nothing.

    Calls with the least remaining tokens go first, each from its first waiting item on, until `budget` is spent; a
    large call is so spread over several batches. A call that has waited for `patience` seconds is overdue, and overdue
    calls, the oldest first, have half of the budget before all others: neither a stream of small calls nor one huge
    call can hold up the rest. The first item is taken whatever it costs, so that every batch makes progress.

    budget: tokens to compute. price: what an item would cost now, in tokens. max_items: 0 sets no limit.
    """
    live = [call for call in queue if not call.departed and call.deadline > now and call.waiting]
    overdue = [call for call in live if now - call.arrived >= patience]
    batch = _Batch(max_items or math.inf, price)
    batch.fill(sorted(overdue, key=lambda call: call.arrived), until=budget // 2)
    batch.fill(sorted(live, key=lambda call: (call.tokens, call.arrived)), until=budget)
    return Taken(
        picks=tuple(batch.counts.items()),
        departed=tuple(call for call in queue if call.departed),
        expired=tuple(call for call in queue if not call.departed and call.deadline <= now),
    )


class _Batch:
    """A batch in the making: how many items of each call, and what they cost together."""

    def __init__(self, max_items: float, price: Callable[[Item], int]) -> None:
        self.counts: dict[Call, int] = {}
        self._spent = 0
        self._items = 0
        self._max_items = max_items
        self._price = price

    def fill(self, calls: Iterable[Call], until: int) -> None:
        """Take what fits into `until` tokens, call by call."""
        passed_over = 0
        for call in calls:
            if self._items >= self._max_items or passed_over > LOOKAHEAD or self._spent >= until:
                return
            passed_over += not self._take_from(call, until)

    def _take_from(self, call: Call, until: int) -> bool:
        """Take items off the front of the call; False if the first that was left did not fit."""
        for item in islice(call.waiting, self.counts.get(call, 0), None):
            if self._items >= self._max_items:
                return True
            cost = max(1, self._price(item))
            if self._items and self._spent + cost > until:
                return False
            self.counts[call] = self.counts.get(call, 0) + 1
            self._spent += cost
            self._items += 1
        return True
