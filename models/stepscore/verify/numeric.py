"""The numeric verifier: final answers as numbers, equal within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stepscore.errors import InvalidInput
from stepscore.verify.answers import final_answer
from stepscore.verify.math_verifier import answer_of
from stepscore.verify.normal import form
from stepscore.verify.verifier import Truth, Verified


class NumericVerifier:
    """Right where `|found - truth| <= max(relative * max(|found|, |truth|), absolute)`; units are not looked at."""

    name = "numeric"

    def __init__(self, relative: float = 1e-6, absolute: float = 1e-9) -> None:
        """Raises InvalidInput for a tolerance that is negative or no number."""
        if not (0 <= relative < math.inf and 0 <= absolute < math.inf):
            raise InvalidInput(f"a tolerance is at least 0: relative {relative}, absolute {absolute}")
        self._relative, self._absolute = relative, absolute

    def verify(self, solutions: Sequence[str], truth: Truth) -> list[Verified]:
        """Raises InvalidInput where the truth's answer is no number."""
        right = number_of(answer_of(truth))
        if right is None:
            raise InvalidInput(f"the truth {truth.answer!r} is no number; verify it with math or exact", field="answer")
        return [self._verified(solution, right) for solution in solutions]

    def _verified(self, solution: str, right: float) -> Verified:
        found = final_answer(solution)
        number = None if found is None else number_of(found)
        if number is None:
            return Verified("unreadable", found, "it states no number")
        if math.isclose(number, right, rel_tol=self._relative, abs_tol=self._absolute):
            return Verified("right", found)
        return Verified("wrong", found, f"{found} is {number - right:+g} off")


def number_of(answer: str) -> float | None:
    """The number that an answer is, units and signs of currency aside; a percentage is its number over 100.

    None where it is none, or too large for a float.
    """
    percent = answer.rstrip(" .$").endswith("%")
    exact = form(answer.replace("\\%", "").replace("%", "") if percent else answer)
    try:
        value = exact.number if exact.number is not None else _fraction(exact.text)
        return None if value is None else float(value) / (100 if percent else 1)
    except OverflowError:
        return None


def _fraction(text: str) -> float | None:
    """A ratio whose decimals have no end, as a plain form writes it, or a number in scientific notation."""
    top, slash, bottom = text.partition("/")
    try:
        return float(top) / float(bottom) if slash else _finite(float(text))
    except (ValueError, ZeroDivisionError):
        return None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
