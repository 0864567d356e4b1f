r"""The math verifier: the final answer of a solution against the known one, by form, by unit and by algebra.

What counts as equal is more than what `same_answer` says of two candidates, because here one of them is the truth:
a percentage equals its number (`50%`, `50` and `0.5`), and quantities in units of one kind are converted exactly
(`5 km` and `5000 m`, `$0.50` and `50 cents`). A bare number equals a quantity of that number: the unit was left out.
Numbers are never rounded; the numeric verifier does that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stepscore.errors import InvalidInput
from stepscore.verify.answer_pool import JUDGE
from stepscore.verify.answers import MAX_ALGEBRA_CHARACTERS, final_answer
from stepscore.verify.normal import Form, form
from stepscore.verify.quantity import same_quantity
from stepscore.verify.verifier import Truth, Verified

_UNIT = re.compile(r"(?<=[\w})])\s*\\(?:text|mathrm|mbox)\s*\{[ ~]*[A-Za-z][A-Za-z. ]*\}(?:\^\{?\d\}?)?\s*\$?$")
"""A unit in LaTeX behind a number or formula, with its power: left out where the other answer has none."""

SHOWN = 80
"""Characters of an answer that a reason repeats."""


class MathVerifier:
    """Final answers by math-verify, in a process that can be stopped. Safe from any thread."""

    name = "math"

    def verify(self, solutions: Sequence[str], truth: Truth) -> list[Verified]:
        """Each distinct answer is judged once. Raises InvalidInput where the truth has no answer."""
        right = answer_of(truth)
        founds = [final_answer(solution) for solution in solutions]
        judged = {found: _verified(found, right) for found in dict.fromkeys(founds)}
        return [judged[found] for found in founds]


def answer_of(truth: Truth) -> str:
    """The known answer; of a whole worked solution its final one. Raises InvalidInput where it is blank."""
    if not truth.answer.strip():
        raise InvalidInput('the truth has no "answer", which this verifier compares with', field="answer")
    return truth.answer


def equal_to_truth(found: str, right: str) -> bool | None:
    """Whether an answer is the known one; None where that could not be told in time."""
    if bool(_UNIT.search(found)) != bool(_UNIT.search(right)):
        found, right = _UNIT.sub("", found), _UNIT.sub("", right)
    one, other = form(found), form(right)
    settled = _by_form(one, other)
    if settled is not None:
        return settled
    same = same_quantity(found, right)
    if same is not None:
        return same
    if one.settled and other.settled:
        return False
    if max(len(one.text), len(other.text)) > MAX_ALGEBRA_CHARACTERS:
        return None
    return JUDGE.compare(other.text, one.text)


def _by_form(one: Form, other: Form) -> bool | None:
    if one.text == other.text:
        return True
    if one.number is not None and one.number == other.number and not (one.unit and other.unit):
        return True
    return None


def _verified(found: str | None, right: str) -> Verified:
    if found is None:
        return Verified("unreadable", None, "it states no answer and holds no number")
    same = equal_to_truth(found, right)
    shown = found if len(found) <= SHOWN else f"{found[:SHOWN]}…"
    if same is None:
        return Verified(
            "unreadable", found, f"whether {shown} equals {right} could not be told: too long, or no formula"
        )
    return Verified("right", found) if same else Verified("wrong", found, f"{shown} is not {right}")
