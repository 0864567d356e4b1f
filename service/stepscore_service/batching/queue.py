"""Which solutions the next forward computes: a pure function of the queue, the budget and the time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from stepscore.engine.work import Work

PATIENCE_SECONDS = 1.0
"""After this long a call is overdue: half of every forward goes to the oldest overdue calls."""
LOOKAHEAD = 32
"""Calls whose next solution does not fit that are passed over before a batch is closed."""
SMALLEST_SHARE = 8
"""A part of a solution that is smaller than this share of the budget is not begun."""


@dataclass(eq=False, slots=True)
class Item:
    """One solution that waits. index: its place in its call; left: tokens that it is expected to compute still;
    counted: tokens of it that earlier forwards were measured with.
    """

    call: Call
    index: int
    work: Work
    left: int
    counted: int = 0

    @property
    def tokens(self) -> int:
        return self.work.encoded.tokens

    def part(self, *, finished: bool) -> int:
        """The tokens with which the last forward is measured: all parts of an item add up to what it asked for."""
        rest = self.tokens - self.counted
        part = rest if finished else min(rest, self.work.allowance)
        self.counted += part
        return part


@dataclass(eq=False, slots=True)
class Call:
    """One request: the solutions of it that still wait, in order.

    tokens: that they ask for; left: that they are expected to compute. arrived, deadline: on the clock of `now`.
    departed: the caller no longer wants the answer.
    """

    arrived: float
    deadline: float = math.inf
    departed: bool = False
    waiting: deque[Item] = field(default_factory=deque)
    tokens: int = 0
    left: int = 0

    def add(self, index: int, work: Work, left: int) -> None:
        self.waiting.append(Item(self, index, work, left))
        self._count(self.waiting[-1], 1)

    def take(self, count: int) -> list[Item]:
        """Remove the first `count` items."""
        items = [self.waiting.popleft() for _ in range(count)]
        for item in items:
            self._count(item, -1)
        return items

    def put_back(self, item: Item, left: int) -> None:
        """An item that needs further forwards goes first."""
        item.left = left
        self.waiting.appendleft(item)
        self._count(item, 1)

    def _count(self, item: Item, sign: int) -> None:
        self.tokens += sign * item.tokens
        self.left += sign * item.left


@dataclass(frozen=True, slots=True)
class Taken:
    """The next batch, and the calls that must leave the queue unanswered.

    picks: (call, what its first items may spend in this forward, in tokens).
    """

    picks: tuple[tuple[Call, tuple[int, ...]], ...]
    departed: tuple[Call, ...]
    expired: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """budget: tokens to compute in one forward. max_items: 0 sets no limit. patience: seconds until a call is overdue.

    splits: whether a solution may be computed over several forwards.
    """

    budget: int
    max_items: int = 0
    splits: bool = False
    patience: float = PATIENCE_SECONDS


def take_batch(queue: Sequence[Call], rules: Rules, now: float, price: Callable[[Item], int]) -> Taken:
    """Choose what to compute next; changes nothing.

    Calls with the least remaining work go first, each from its first waiting item on, until the budget is spent; a
    large call is so spread over several batches, and an item that costs more than half a budget is too, where it may
    be split. A call that has waited for longer than the patience is overdue, and overdue calls, the oldest first, have
    half of the budget before all others: neither a stream of small calls nor one huge call can hold up the rest.
    Where items are not split, the first is taken whatever it costs, so that every batch makes progress.

    price: what an item would cost now, in tokens.
    """
    live = [call for call in queue if not call.departed and call.deadline > now and call.waiting]
    overdue = [call for call in live if now - call.arrived >= rules.patience]
    batch = _Batch(rules, price)
    batch.fill(sorted(overdue, key=lambda call: call.arrived), until=-(-rules.budget // 2))
    batch.fill(sorted(live, key=lambda call: (call.left, call.arrived)), until=rules.budget)
    return Taken(
        picks=tuple((call, tuple(share.given for share in shares)) for call, shares in batch.shares.items()),
        departed=tuple(call for call in queue if call.departed),
        expired=tuple(call for call in queue if not call.departed and call.deadline <= now),
    )


@dataclass(slots=True)
class _Share:
    """What an item costs, and what of that it is given."""

    cost: int
    given: int


class _Batch:
    """A batch in the making: the shares of each call's first items."""

    def __init__(self, rules: Rules, price: Callable[[Item], int]) -> None:
        self.shares: dict[Call, list[_Share]] = {}
        self._rules = rules
        self._price = price
        self._spent = 0
        self._items = 0
        self._max_items = rules.max_items or math.inf

    def fill(self, calls: Iterable[Call], until: int) -> None:
        """Take what fits into `until` tokens, call by call."""
        passed_over = 0
        for call in calls:
            if passed_over > LOOKAHEAD or self._spent >= until:
                return
            passed_over += not self._take_from(call, until)

    def _take_from(self, call: Call, until: int) -> bool:
        """Take items off the front of the call; False if one was left, whole or in part, that did not fit."""
        shares = self.shares.get(call, [])
        if shares and not self._widen(shares[-1], until):
            return False
        for item in islice(call.waiting, len(shares), None):
            if self._items >= self._max_items:
                return True
            cost = max(1, self._price(item))
            given = self._given(cost, until)
            if not given:
                return False
            self.shares.setdefault(call, []).append(_Share(cost, given))
            self._spent += given
            self._items += 1
            if given < cost:
                return False
        return True

    def _given(self, cost: int, until: int) -> int:
        """What of an item's cost this batch bears."""
        room = until - self._spent
        if cost <= room:
            return cost
        if not self._rules.splits:
            return 0 if self._items else cost
        large = 2 * cost > self._rules.budget
        return room if large and room * SMALLEST_SHARE >= self._rules.budget else 0

    def _widen(self, share: _Share, until: int) -> bool:
        """Give more to an item that was begun; whether it is whole then."""
        more = max(0, min(share.cost - share.given, until - self._spent))
        share.given += more
        self._spent += more
        return share.given == share.cost
