"""What the batcher stands between: a scorer below, and somebody who measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stepscore.engine.base import TokenCounts
from stepscore.engine.work import Work
from stepscore.errors import StepscoreError
from stepscore.scorer import ModelInfo
from stepscore.types import EncodedSolution, Reading, Solution

Answer = Reading | StepscoreError


@dataclass(frozen=True, slots=True)
class Scored:
    """A reading and what it was read from."""

    reading: Reading
    encoded: EncodedSolution


Outcome = Scored | StepscoreError
"""What becomes of one solution."""


class Scoring(Protocol):
    """What the batcher needs of a scorer; all but `advance` may run beside a forward, and forwards never overlap."""

    @property
    def info(self) -> ModelInfo: ...
    def encode(self, solution: Solution) -> EncodedSolution: ...
    def cost(self, encoded: EncodedSolution) -> int: ...
    def advance(self, works: Sequence[Work]) -> list[Answer | None]: ...
    def release(self, work: Work) -> None: ...
    def counts(self) -> TokenCounts: ...
    def close(self) -> None: ...


class Meter(Protocol):
    """Who measures; called from any thread."""

    def tokenised(self, seconds: float) -> None: ...
    def queued(self, seconds: float) -> None: ...
    def forwarded(self, solutions: int, tokens: int, seconds: float) -> None: ...
    def skipped(self, reason: str, solutions: int) -> None: ...
    def answered(self, outcome: Outcome) -> None: ...
