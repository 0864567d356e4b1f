"""The verifier protocol: whether a whole solution reaches what is known to be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

AnswerOutcome = Literal["right", "wrong", "unreadable"]
"""unreadable: no answer could be found or judged (nothing that parses, no end in time); never counted as wrong."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a problem: its final answer, or unit tests of the program that solves it.

    answer: as a person would write it. tests: Python that raises if the program is wrong. entry_point: the name of
    the function under test, if `tests` calls `check(entry_point)`.
    """

    answer: str = ""
    tests: str = ""
    entry_point: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """found: the answer that was compared, None if there is none. reason: for people, why it is not right.

    reader: what found the answer, "guess" if nothing states it; "" if the verifier does not compare answers.
    """

    outcome: AnswerOutcome
    found: str | None = None
    reason: str = ""
    reader: str = ""


class Verifier(Protocol):
    """Compares solutions of one problem with its truth. Safe from any thread."""

    @property
    def name(self) -> str: ...

    def verify(self, solutions: Sequence[str], truth: Truth) -> list[Verified]:
        """One result for each text, in order. Raises InvalidInput if the truth lacks what this verifier needs."""
        ...
