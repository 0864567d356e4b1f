"""The step checker protocol: steps judged one by one, without rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Verdict = Literal["sound", "wrong", "unknown"]
"""unknown: the step carries nothing that this checker can judge."""


@dataclass(frozen=True, slots=True)
class Checked:
    """reason: for people; empty for a sound step."""

    verdict: Verdict
    reason: str = ""


class StepChecker(Protocol):
    """Judges steps by calculation or proof."""

    @property
    def name(self) -> str: ...

    def check(self, problem: str, steps: Sequence[str]) -> list[Checked]:
        """One verdict for each step, in order."""
        ...
