r"""The math verifier: the final answer of a solution against the known one, by form, by unit and by algebra.

What counts as equal is more than what `same_answer` says of two candidates, because here one of them is the truth:
what has another
structure than the truth (a list for a tuple, an inequality for an interval) is compared by math-verify, truth first:
`2x + y = 1` is not reached by `1`, nor `(3, 1)` by `{1, 3}`. Numbers are rounded only within the tolerance asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction

from stepscore.errors import InvalidInput
from stepscore.verify.answer_pool import LATE, POOL
from stepscore.verify.answers import FinalAnswer, known_answer, read_answer
from stepscore.verify.equality import MAX_ALGEBRA_CHARACTERS, Canonical, canonical, canonical_pair, is_number
from stepscore.verify.formula import as_algebra
from stepscore.verify.scalar import Value
from stepscore.verify.spelling import spell
from stepscore.verify.verifier import Truth, Verified

_SUM_EQUATION = re.compile(r"[^=<>]*[a-z)}\d]\s*[+-][^=<>]*=[^=<>]+", re.IGNORECASE)
_LETTER = re.compile(r"(?<![a-z\\])[a-z](?![a-z])", re.IGNORECASE)

SHOWN = 80
"""Characters of an answer that a reason repeats."""


class MathVerifier:
    """Final answers by math-verify, in processes that can be stopped. Safe from any thread."""

    name = "math"

    def __init__(self, tolerance: float = 0.0) -> None:
        """tolerance: how far apart, relatively, two numbers may be. Raises InvalidInput for one below 0."""
        if not 0 <= tolerance < math.inf:
            raise InvalidInput(f"a tolerance is at least 0, not {tolerance}")
        self._tolerance = tolerance

    def verify(self, solutions: Sequence[str], truth: Truth) -> list[Verified]:
        """Each distinct answer is judged once. Raises InvalidInput if the truth has no answer."""
        right = answer_of(truth)
        founds = [read_answer(solution) for solution in solutions]
        judged = {found: self._verify_one(found, right) for found in dict.fromkeys(founds)}
        return [judged[found] for found in founds]

    def _verify_one(self, found: FinalAnswer | None, right: str) -> Verified:
        if found is None:
            return Verified("unreadable", None, "it states no answer and holds no number")
        same = reaches_truth(found, right, self._tolerance)
        shown = found.text if len(found.text) <= SHOWN else f"{found.text[:SHOWN]}…"
        if same is None:
            reason = f"whether {shown} equals {right} could not be decided: too long, no formula, or stopped"
            return Verified("unreadable", found.text, reason, found.reader)
        if same:
            return Verified("right", found.text, reader=found.reader)
        return Verified("wrong", found.text, f"{shown} is not {right}", found.reader)


def answer_of(truth: Truth) -> str:
    """The known answer; of a worked solution its final one. Raises InvalidInput if it is blank."""
    if not truth.answer.strip():
        raise InvalidInput('the truth has no "answer", which this verifier compares with', field="answer")
    return known_answer(truth.answer)


def is_readable(answer: str) -> bool:
    """Whether a known answer is a number, a formula, words or a row of them, so that another one can differ from it.

    Nothing but the very same text equals one that is not: half a formula, an object of a program, mere signs.
    """
    form = canonical(known_answer(answer))
    return form.readable or form.late


def reaches_truth(found: FinalAnswer, right: str, tolerance: float = 0.0) -> bool | None:
    """As equal_to_truth, for a choice with its letter or, if the truth is not a letter, with what it says."""
    same = equal_to_truth(found.text, right, tolerance)
    if not same and found.option and len(right.strip("()$ .")) > 1:
        return equal_to_truth(found.option, right, tolerance)
    return same


def equal_to_truth(found: str, right: str, tolerance: float = 0.0) -> bool | None:
    """Whether an answer is the known one; None if that could not be decided in time."""
    one, other = canonical_pair(found, right)
    decided = _by_form(one, other, tolerance)
    if decided is not None:
        return decided
    if _is_line(right) and "=" not in found:
        return False
    if max(len(found), len(right)) > MAX_ALGEBRA_CHARACTERS:
        return None
    if one.value is not None and other.value is not None and one.value.settled and other.value.settled:
        return False
    if one.late or other.late:
        return None
    return _by_algebra(found, right)


def _is_line(text: str) -> bool:
    """Whether a text is an equation such as `x + y = 3`, whose right side alone does not state it."""
    return bool(_SUM_EQUATION.fullmatch(text)) and bool(_LETTER.search(text.split("=")[0]))


def _by_form(one: Canonical, other: Canonical, tolerance: float) -> bool | None:
    """What the canonical forms of an answer and the truth say; None if they differ in structure."""
    if one.label and other.label and one.label != other.label:
        return False
    if one.key == other.key or (one.bare == other.bare and not (one.has_unit and other.has_unit)):
        return True
    if one.value is not None and other.value is not None:
        return _same_value(one, other, one.value, other.value, tolerance)
    if any(form.value is None and each.value and each.value.settled for form, each in ((one, other), (other, one))):
        return False
    rows = one.value is None and other.value is None
    return False if rows and one.readable and other.readable and one.key[0] == other.key[0] else None


def _by_algebra(found: str, right: str) -> bool | None:
    """What math-verify says; None if one of the two is not, as a whole, a formula, or if it was stopped."""
    formulas = [as_algebra(spell(text)) for text in (right, found)]
    if formulas[0] is None or formulas[1] is None:
        return None
    verified = POOL.equal(formulas[0], formulas[1])
    return None if verified is LATE else verified  # type: ignore[return-value]


def _same_value(one: Canonical, other: Canonical, found: Value, right: Value, tolerance: float) -> bool | None:
    """None if the two differ in structure, so that math-verify has to say."""
    alike = one.bare == other.bare or _near(one.bare, other.bare, tolerance)
    if one.has_unit and other.has_unit:
        if found.unit and right.unit and found.unit.kind and found.unit.kind == right.unit.kind:
            return _near(one.key.split(" ")[0], other.key.split(" ")[0], tolerance)
        return alike and _same_noun(found, right)
    if alike or _near(one.key, other.key, tolerance):
        return True
    plain = all(is_number(form.bare) for form in (one, other))
    if plain or (one.readable and other.readable and _is_formula(one.bare) and _is_formula(other.bare)):
        return False
    return None


def _same_noun(found: Value, right: Value) -> bool:
    """`5 red apples` and `5 apples` count the same; two units of which one is known are compared by name."""
    names = [value.unit.name for value in (found, right) if value.unit]
    if not all(name.startswith("noun:") for name in names):
        return names[0] == names[1]
    one, other = (set(name.removeprefix("noun:").split()) for name in names)
    return one <= other or other <= one


def _is_formula(key: str) -> bool:
    return "?" in key or is_number(key)


def _near(one: str, other: str, tolerance: float) -> bool:
    if one == other:
        return True
    try:
        first, second = Fraction(one), Fraction(other)
    except (ValueError, ZeroDivisionError):
        return False
    return abs(first - second) <= Fraction(tolerance) * max(abs(first), abs(second))
