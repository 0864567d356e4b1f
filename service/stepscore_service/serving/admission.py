"""Which requests are let in: by the tokens that wait, by the time that they will take, and by a client's own quota.

A refusal for lack of capacity is 503 with Retry-After, which trainers' clients retry. 429 means one thing only: this
client has used up its own quota.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from stepscore_service.batching.protocols import QueueLoad, RequestContext
from stepscore_service.errors import Overloaded, QuotaExceeded, TooManyTokens

SHORTEST_SECONDS, LONGEST_SECONDS = 1, 60
"""Bounds of Retry-After."""
MINUTE = 60.0


@dataclass(slots=True)
class TokenBucket:
    """A quota of tokens per minute; unused tokens of up to one minute are kept. For one thread."""

    per_minute: int
    left: float
    updated: float

    def take(self, tokens: int, now: float) -> float:
        """Spend the tokens and return 0, or spend nothing and return the seconds until they can be spent."""
        self.left = min(self.per_minute, self.left + (now - self.updated) * self.per_minute / MINUTE)
        self.updated = now
        needed = min(max(1, tokens), self.per_minute)
        if self.left < needed:
            return (needed - self.left) * MINUTE / self.per_minute
        self.left -= tokens
        return 0.0


class Admission:
    """Asked twice for each request: before it is tokenised (tokens 0), and before it is queued. For one event loop.

    max_tokens: that may wait for one model. max_seconds: that a request may have to wait for its turn, as estimated
    from the measured rate; 0 sets no limit.
    """

    def __init__(self, max_tokens: int, max_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_tokens = max_tokens
        self._max_seconds = max_seconds
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def check(self, tokens: int, load: QueueLoad, context: RequestContext) -> None:
        """Raises TooManyTokens, QuotaExceeded, or Overloaded if `tokens` more cannot be computed in time."""
        self._check_tokens(tokens, load)
        self._check_wait(load)
        self._check_deadline(tokens, load, context)
        self._check_quota(tokens, context)

    def _check_tokens(self, tokens: int, load: QueueLoad) -> None:
        """A tenant within its share of the queue is let in even if others have filled it."""
        limit = self._max_tokens
        if tokens > limit:
            message = f"{tokens} tokens in one request, but only {limit} fit into the queue: split the request"
            raise TooManyTokens(message, tokens=tokens, limit=limit)
        fits = load.waiting + max(1, tokens) <= limit
        within_share = load.tenants > 1 and load.waiting_of_tenant + tokens <= limit // load.tenants
        if not fits and not within_share:
            message = f"{load.waiting} tokens are waiting and the queue holds {limit}; try again later"
            raise _overload_error(message, load, limit=limit)

    def _check_wait(self, load: QueueLoad) -> None:
        wait = load.seconds_for(load.ahead)
        if self._max_seconds and wait > self._max_seconds:
            message = f"the wait is about {wait:.0f} s and may be {self._max_seconds:g} s; try again later"
            raise _overload_error(message, load, max_queue_seconds=self._max_seconds)

    def _check_deadline(self, tokens: int, load: QueueLoad, context: RequestContext) -> None:
        """If nothing is ahead, the request is computed whatever the estimate says: only a forward can correct it."""
        if context.deadline is None or not load.ahead:
            return
        left = context.deadline - self._clock()
        expected = load.seconds_for(load.ahead + tokens)
        if 0 < left < expected:
            message = f"the answer would take about {expected:.1f} s and the time limit is in {left:.1f} s"
            raise _overload_error(message, load, seconds_left=round(left, 3))

    def _check_quota(self, tokens: int, context: RequestContext) -> None:
        limit = context.tokens_per_minute
        if not limit:
            return
        now = self._clock()
        bucket = self._buckets.setdefault(context.tenant, TokenBucket(limit, limit, now))
        bucket.per_minute = limit
        seconds = bucket.take(tokens, now)
        if seconds:
            raise QuotaExceeded(
                f"this key may send {limit} tokens per minute; try again later",
                limit=limit,
                retry_after_seconds=max(SHORTEST_SECONDS, round(seconds)),
            )


def _overload_error(message: str, load: QueueLoad, **detail: object) -> Overloaded:
    seconds = load.seconds_for(load.ahead)
    return Overloaded(
        message,
        queued_tokens=load.waiting,
        estimated_seconds=round(seconds, 1),
        retry_after_seconds=min(LONGEST_SECONDS, max(SHORTEST_SECONDS, round(seconds))),
        **detail,
    )
