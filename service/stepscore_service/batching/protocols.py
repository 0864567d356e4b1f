"""What the batcher stands between: a scorer below, and somebody who measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stepscore.errors import StepscoreError
from stepscore.types import EncodedSolution, Reading

Answer = Reading | StepscoreError


@dataclass(frozen=True, slots=True)
class Scored:
    """A reading and what it was read from."""

    reading: Reading
    encoded: EncodedSolution


Outcome = Scored | StepscoreError
"""What becomes of one solution."""


class Meter(Protocol):
    """Who measures; called from any thread."""

    def tokenised(self, seconds: float) -> None: ...
    def queued(self, seconds: float) -> None: ...
    def forwarded(self, solutions: int, tokens: int, seconds: float) -> None: ...
    def skipped(self, reason: str, solutions: int) -> None: ...
    def answered(self, outcome: Outcome) -> None: ...
