"""Which solutions the next forward computes: a pure function of the queue, the limits and the time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from stepscore.engine.protocol import SMALLEST_SHARE, Work
from stepscore.types import SplitSolution
from stepscore_service.batching.protocols import QueueLoad

MAX_WAIT_SECONDS = 1.0
"""A request that has waited longer is starved: half of every forward goes to the oldest starved requests."""
BULK_PATIENCE = 30
"""How many times longer a bulk request waits until it is starved."""
LOOKAHEAD = 32
"""How many requests whose next solution does not fit are passed over before a batch is closed."""


@dataclass(eq=False, slots=True, kw_only=True)
class QueuedSolution(Work):
    """A work that waits in a request.

    index: its place in the request. left: tokens that it is still expected to compute.
    counted: its tokens that earlier forwards were measured with.
    """

    request: QueuedRequest
    index: int
    split: SplitSolution
    left: int
    counted: int = 0

    @property
    def tokens(self) -> int:
        return self.encoded.tokens

    def count_part(self, *, finished: bool) -> int:
        """The tokens that the last forward is measured with: all parts add up to the solution's prompt tokens."""
        rest = self.tokens - self.counted
        part = rest if finished else min(rest, self.token_budget)
        self.counted += part
        return part


@dataclass(eq=False, slots=True)
class QueuedRequest:
    """One request: those of its solutions that still wait, in order.

    tokens: their prompt tokens. left: tokens that they are expected to compute. arrived, deadline: on the clock of
    `now`. departed: the caller no longer wants the answer. tenant: who sent it. bulk: it goes after all others.
    started: when its first forward began.
    """

    arrived: float
    deadline: float = math.inf
    departed: bool = False
    waiting: deque[QueuedSolution] = field(default_factory=deque)
    tokens: int = 0
    left: int = 0
    tenant: str = ""
    bulk: bool = False
    started: float | None = None

    def add(self, solution: QueuedSolution) -> None:
        self.waiting.append(solution)
        self._count(solution, 1)

    def take(self, count: int) -> list[QueuedSolution]:
        """Remove the first `count` solutions."""
        solutions = [self.waiting.popleft() for _ in range(count)]
        for solution in solutions:
            self._count(solution, -1)
        return solutions

    def requeue(self, solution: QueuedSolution, left: int) -> None:
        """Put a solution that needs further forwards first."""
        solution.left = left
        self.waiting.appendleft(solution)
        self._count(solution, 1)

    def _count(self, solution: QueuedSolution, sign: int) -> None:
        self.tokens += sign * solution.tokens
        self.left += sign * solution.left


@dataclass(frozen=True, slots=True)
class Batch:
    """The next batch, and the requests that must leave the queue unanswered.

    selected: (request, what its first solutions may spend in this forward, in tokens).
    """

    selected: tuple[tuple[QueuedRequest, tuple[int, ...]], ...]
    departed: tuple[QueuedRequest, ...]
    expired: tuple[QueuedRequest, ...]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """budget: tokens to compute in one forward. max_solutions: 0 sets no limit.

    large_budget: while every request that waits would fill a forward; 0 for the budget.
    chunked: whether a solution may be computed over several forwards. max_wait: seconds until a request is starved.
    """

    budget: int
    max_solutions: int = 0
    chunked: bool = False
    max_wait: float = MAX_WAIT_SECONDS
    large_budget: int = 0

    def for_queue(self, waiting: Sequence[QueuedRequest]) -> BatchLimits:
        """The limits of the next batch: nobody who wants little waits longer for a large forward."""
        large = self.large_budget > self.budget and all(each.left >= self.budget for each in waiting)
        return replace(self, budget=self.large_budget) if large else self

    def starves(self, request: QueuedRequest, now: float) -> bool:
        return now - request.arrived >= self.max_wait * (BULK_PATIENCE if request.bulk else 1)


Price = Callable[[QueuedSolution], int]
"""The tokens that a solution would compute now."""


def take_batch(
    queue: Sequence[QueuedRequest], limits: BatchLimits, now: float, price: Price, tokens_per_second: float = 0.0
) -> Batch:
    """Choose what to compute next; changes nothing.

    Requests with the least remaining work go first, each from its first waiting solution on, until the budget is
    spent. A large request is thus spread over several batches, and so is a solution that costs more than half a
    budget, if it may be chunked. A request that has waited longer than max_wait is starved, and starved requests, the
    oldest first, get half of the budget before all others: neither a stream of small requests nor one huge request
    can hold up the rest. If solutions cannot be chunked, the first is taken whatever it costs, so that every batch
    makes progress.

    Tenants share each part of a batch evenly; what one does not need goes to the others. Bulk requests go after all
    interactive ones, and are starved only after BULK_PATIENCE times max_wait. If nothing small waits, the batch may be
    larger (`BatchLimits.large_budget`).

    A request whose deadline would pass during the forward is left for later if there are others: in an overload the
    oldest would otherwise take half of every forward, and all be late. tokens_per_second: the measured rate; 0 if
    nothing was measured.
    """
    live = [each for each in queue if not each.departed and each.deadline > now and each.waiting]
    limits = limits.for_queue(live)
    timely = _in_time(live, limits, now, tokens_per_second) or live
    starved = [each for each in timely if limits.starves(each, now)]
    batch = _Selection(limits, price)
    batch.share(sorted(starved, key=lambda each: each.arrived), until=-(-limits.budget // 2))
    for bulk in (False, True):
        lane = [each for each in timely if each.bulk == bulk]
        batch.share(sorted(lane, key=lambda each: (each.left, each.arrived)), until=limits.budget)
    return Batch(
        selected=tuple((each, tuple(share.given for share in shares)) for each, shares in batch.shares.items()),
        departed=tuple(each for each in queue if each.departed),
        expired=tuple(each for each in queue if not each.departed and each.deadline <= now),
    )


def _in_time(
    live: Sequence[QueuedRequest], limits: BatchLimits, now: float, tokens_per_second: float
) -> Sequence[QueuedRequest]:
    """Those that would be answered in time if the next forward computed as much as it can of what waits."""
    if not tokens_per_second:
        return live
    tokens = min(limits.budget, sum(each.left for each in live))
    return [each for each in live if now + max(tokens, each.left) / tokens_per_second <= each.deadline]


def load_for(
    request: QueuedRequest, queue: Sequence[QueuedRequest], running: int, tokens_per_second: float, budget: int = 0
) -> QueueLoad:
    """What the request meets in the queue, if `running` tokens of the current forward are still to be computed.

    Ahead of it is shorter work of its lane, and as much again for starved requests, which get half of each forward;
    of other tenants no more than their even shares. What waits and fits into one forward (budget) is computed together
    with the request, and ends with it.
    """
    all_of, own = _Ahead(), _Ahead()
    tenants = {request.tenant}
    for each in queue:
        tenants.add(each.tenant)
        all_of.count(each, request)
        if each.tenant == request.tenant:
            own.count(each, request)
    even_shares = len(tenants) * own.tokens + (len(tenants) - 1) * request.tokens
    return QueueLoad(
        waiting=all_of.waiting,
        waiting_of_tenant=own.waiting,
        tenants=len(tenants),
        ahead=running + max(min(all_of.tokens, even_shares), min(all_of.lane, budget)),
        tokens_per_second=tokens_per_second,
    )


@dataclass(slots=True)
class _Ahead:
    """waiting: all tokens. lane: those that can come before the request. first: those of shorter work among them."""

    waiting: int = 0
    lane: int = 0
    first: int = 0

    def count(self, other: QueuedRequest, request: QueuedRequest) -> None:
        self.waiting += other.tokens
        if request.bulk or not other.bulk:
            self.lane += other.tokens
            if other.left <= request.left or other.bulk < request.bulk:
                self.first += other.tokens

    @property
    def tokens(self) -> int:
        return min(2 * self.first, self.lane)


@dataclass(slots=True)
class TokenShare:
    """What a solution costs, and how much of that it is given."""

    cost: int
    given: int


class _Selection:
    """A batch in the making: the shares of each request's first solutions."""

    def __init__(self, limits: BatchLimits, price: Price) -> None:
        self.shares: dict[QueuedRequest, list[TokenShare]] = {}
        self._limits = limits
        self._price = price
        self._spent = 0
        self._solutions = 0
        self._max_solutions = limits.max_solutions or math.inf

    def share(self, requests: Sequence[QueuedRequest], until: int) -> None:
        """Take what fits into `until` tokens: first an even share for each tenant, then in order."""
        tenants: dict[str, list[QueuedRequest]] = {}
        for request in requests:
            tenants.setdefault(request.tenant, []).append(request)
        share = max(0, until - self._spent) // max(1, len(tenants))
        if len(tenants) > 1:
            for of_tenant in tenants.values():
                self.fill(of_tenant, until=self._spent + share)
        self.fill(requests, until)

    def fill(self, requests: Iterable[QueuedRequest], until: int) -> None:
        """Take what fits into `until` tokens, request by request."""
        passed_over = 0
        for request in requests:
            if passed_over > LOOKAHEAD or self._spent >= until:
                return
            passed_over += not self._take_from(request, until)

    def _take_from(self, request: QueuedRequest, until: int) -> bool:
        """Take solutions off the front; False if one was left, whole or in part, that did not fit."""
        shares = self.shares.get(request, [])
        if shares and not self._widen(shares[-1], until):
            return False
        for solution in islice(request.waiting, len(shares), None):
            if self._solutions >= self._max_solutions:
                return True
            cost = max(1, self._price(solution))
            given = self._tokens_to_give(cost, until)
            if not given:
                return False
            self.shares.setdefault(request, []).append(TokenShare(cost, given))
            self._spent += given
            self._solutions += 1
            if given < cost:
                return False
        return True

    def _tokens_to_give(self, cost: int, until: int) -> int:
        """How much of a solution's cost this batch bears."""
        room = until - self._spent
        if cost <= room:
            return cost
        if not self._limits.chunked:
            return 0 if self._solutions else cost
        large = 2 * cost > self._limits.budget
        return room if large and room * SMALLEST_SHARE >= self._limits.budget else 0

    def _widen(self, share: TokenShare, until: int) -> bool:
        """Give more to a solution that was started; whether it is whole then."""
        more = max(0, min(share.cost - share.given, until - self._spent))
        share.given += more
        self._spent += more
        return share.given == share.cost
