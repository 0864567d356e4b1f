"""What the batcher deals with: the terms of a request, the outcome of a solution, and the metrics it feeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stepscore.errors import StepscoreError
from stepscore.types import EncodedSolution, Reading
from stepscore_service.batching.encoding import SplitSolution


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The terms on which a request is computed.

    deadline: on the monotonic clock; nothing is computed after it.
    cache_salt: computed prefixes are reused only among requests of the same one.
    """

    deadline: float | None = None
    cache_salt: str = ""


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

    def tokenised(self, seconds: float) -> None: ...
    def queued(self, seconds: float) -> None: ...
    def forwarded(self, solutions: int, tokens: int, seconds: float) -> None: ...
    def skipped(self, reason: str, solutions: int) -> None: ...
