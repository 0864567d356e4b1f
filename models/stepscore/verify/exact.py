"""The exact verifier: final answers as text, spaces, case, LaTeX wrappers and a last full stop aside."""

from __future__ import annotations

from collections.abc import Sequence

from stepscore.verify.answers import final_answer
from stepscore.verify.math_verifier import answer_of
from stepscore.verify.normal import form
from stepscore.verify.verifier import Truth, Verified


class ExactVerifier:
    """Right where the two answers have one plain form; no unit is converted and nothing computed."""

    name = "exact"

    def verify(self, solutions: Sequence[str], truth: Truth) -> list[Verified]:
        """Raises InvalidInput where the truth has no answer."""
        right = answer_of(truth)
        return [_verified(final_answer(solution), right) for solution in solutions]


def _verified(found: str | None, right: str) -> Verified:
    if found is None:
        return Verified("unreadable", None, "it states no answer and holds no number")
    if form(found).text.casefold() == form(right).text.casefold():
        return Verified("right", found)
    return Verified("wrong", found, f"{found} is not {right}")
