"""The numeric verifier: final answers as numbers, equal within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from stepscore.errors import InvalidInput
from stepscore.verify.answers import read_answer
from stepscore.verify.equality import canonical
from stepscore.verify.math_verifier import answer_of
from stepscore.verify.normal import read_structure
from stepscore.verify.scalar import Value
from stepscore.verify.verifier import Truth, Verified


class NumericVerifier:
    """Right if `|found - truth| <= max(relative * max(|found|, |truth|), absolute)`; units are not looked at."""

    name = "numeric"

    def __init__(self, relative: float = 1e-6, absolute: float = 0.0) -> None:
        """Raises InvalidInput for a tolerance that is negative or no number."""
        if not (0 <= relative < math.inf and 0 <= absolute < math.inf):
            raise InvalidInput(f"a tolerance is at least 0: relative {relative}, absolute {absolute}")
        self._relative, self._absolute = relative, absolute

    def verify(self, solutions: Sequence[str], truth: Truth) -> list[Verified]:
        """Raises InvalidInput if the truth's answer is not a number."""
        right = number_of(answer_of(truth))
        if right is None:
            raise InvalidInput(
                f"the truth {truth.answer!r} is not a number; verify it with math or exact", field="answer"
            )
        return [self._verify_one(solution, right) for solution in solutions]

    def _verify_one(self, solution: str, right: float) -> Verified:
        found = read_answer(solution)
        number = None if found is None else number_of(found.text)
        if found is None:
            return Verified("unreadable", None, "it states no number")
        if number is None:
            return Verified("unreadable", found.text, "it states no number", found.reader)
        if math.isclose(number, right, rel_tol=self._relative, abs_tol=self._absolute):
            return Verified("right", found.text, reader=found.reader)
        return Verified("wrong", found.text, f"{found.text} is {number - right:+g} off", found.reader)


def number_of(answer: str) -> float | None:
    """The number that an answer is, units and signs of currency aside; a percentage is its number over 100.

    None if it is none, or too large for a float.
    """
    structure = read_structure(answer)
    if not isinstance(structure, Value):
        return None
    per = structure.unit.worth if structure.unit is not None and structure.unit.kind == "percent" else Fraction(1)
    number = structure.number if structure.number is not None else _fraction(canonical(answer).bare)
    try:
        return None if number is None else float(number * per)
    except OverflowError:
        return None


def _fraction(key: str) -> Fraction | None:
    """The number that the canonical form of a formula holds."""
    try:
        return Fraction(key)
    except (ValueError, ZeroDivisionError):
        return None
