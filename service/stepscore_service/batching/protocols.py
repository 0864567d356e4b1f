"""What the batcher deals with: the terms of a request, the outcome of a solution, and the metrics it feeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from stepscore.errors import StepscoreError
from stepscore.types import EncodedSolution, Reading, SplitSolution


@dataclass(slots=True)
class RequestFacts:
    """What is learnt of a request on its way, for its log line, headers and trace. Times on the monotonic clock.

    tokens: prompt tokens. Each of the times is (start, end), None if the request did not come so far.
    """

    model: str = ""
    tokens: int = 0
    solutions: int = 0
    tokenise: tuple[float, float] | None = None
    queue: tuple[float, float] | None = None
    forward: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The terms on which a request is computed.

    deadline: on the monotonic clock; nothing is computed after it.
    cache_salt: computed prefixes are reused only among requests of the same one.
    tenant: who sends it; tenants share the model fairly. tokens_per_minute: the tenant's quota; 0 sets none.
    bulk: computed when nothing interactive waits.
    policy_version: of the policy that wrote the solutions; "" if the caller does not say.
    """

    deadline: float | None = None
    cache_salt: str = ""
    tenant: str = ""
    tokens_per_minute: int = 0
    bulk: bool = False
    policy_version: str = ""
    facts: RequestFacts = field(default_factory=RequestFacts, compare=False)


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """What a new request meets. Sizes in prompt tokens.

    waiting: in the queue. waiting_of_tenant: those of the request's own tenant. tenants: how many have work here, this
    one included. ahead: an estimate of what is computed before the request's turn. tokens_per_second: the measured
    rate; 0 if nothing was measured.
    """

    waiting: int = 0
    waiting_of_tenant: int = 0
    tenants: int = 1
    ahead: int = 0
    tokens_per_second: float = 0.0

    def seconds_for(self, tokens: int) -> float:
        """How long the tokens take; 0 if nothing was measured."""
        return tokens / self.tokens_per_second if self.tokens_per_second else 0.0


class AdmissionControl(Protocol):
    """Decides whether a request of so many tokens is let in."""

    def check(self, tokens: int, load: QueueLoad, context: RequestContext) -> None:
        """Raises TooManyTokens, Overloaded, QuotaExceeded."""
        ...


@dataclass(frozen=True, slots=True)
class ScoredSolution:
    """A solution in steps, what the model read of it, and the rewards."""

    split: SplitSolution
    encoded: EncodedSolution
    reading: Reading


SolutionOutcome = ScoredSolution | StepscoreError
"""The result for one solution."""


class BatcherMetrics(Protocol):
    """What a batcher measures; called from any thread. Times in seconds."""

    def observe_tokenising(self, seconds: float) -> None: ...
    def observe_wait(self, seconds: float) -> None: ...
    def count_forward(self, solutions: int, tokens: int, seconds: float) -> None: ...
    def count_failure(self, code: str) -> None: ...
    def count_skipped(self, reason: str, solutions: int) -> None: ...
