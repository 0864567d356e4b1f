"""How often a verifier is wrong, on solutions of which it is known whether they are right."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from stepscore.verify.verifier import AnswerOutcome

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Rate:
    """hits of count, and the 95% Wilson interval of the share; share and bounds are None if count is 0."""

    hits: int
    count: int

    @property
    def share(self) -> float | None:
        return self.hits / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """E. B. Wilson, 1927: holds for small counts and for shares near 0 and 1."""
        if not self.count:
            return None
        n, p, z2 = self.count, self.hits / self.count, Z_95 * Z_95
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        low = 0.0 if self.hits == 0 else max(0.0, centre - half)
        return low, 1.0 if self.hits == n else min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Errors:
    """false_positives: wrong solutions called right. false_negatives: right ones called wrong.

    unreadable_wrong, unreadable_right: of either kind those that the verifier left open.
    """

    false_positives: Rate
    false_negatives: Rate
    unreadable_wrong: Rate
    unreadable_right: Rate


def errors_of(judged: Iterable[tuple[bool, AnswerOutcome]]) -> Errors:
    """From pairs of what a solution is and what the verifier says of it."""
    counts = {(correct, outcome): 0 for correct in (True, False) for outcome in ("right", "wrong", "unreadable")}
    for pair in judged:
        counts[pair] += 1
    right = sum(count for (correct, _), count in counts.items() if correct)
    wrong = sum(counts.values()) - right
    return Errors(
        false_positives=Rate(counts[False, "right"], wrong),
        false_negatives=Rate(counts[True, "wrong"], right),
        unreadable_wrong=Rate(counts[False, "unreadable"], wrong),
        unreadable_right=Rate(counts[True, "unreadable"], right),
    )
