"""The exact verifier: final answers as text, spaces, case, LaTeX wrappers and a last full stop aside."""

from __future__ import annotations

from collections.abc import Sequence

from stepscore.verify.answers import FinalAnswer, read_answer
from stepscore.verify.math_verifier import answer_of
from stepscore.verify.normal import read_structure
from stepscore.verify.scalar import Value
from stepscore.verify.spelling import spell
from stepscore.verify.verifier import Truth, Verified


class ExactVerifier:
    """Right if the two answers have the same plain form; no unit is converted and nothing computed."""

    name = "exact"

    def verify(self, solutions: Sequence[str], truth: Truth) -> list[Verified]:
        """Raises InvalidInput if the truth has no answer."""
        right = answer_of(truth)
        return [_verify_one(read_answer(solution), right) for solution in solutions]


def _verify_one(found: FinalAnswer | None, right: str) -> Verified:
    if found is None:
        return Verified("unreadable", None, "it states no answer and holds no number")
    if _plain(found.text) == _plain(right):
        return Verified("right", found.text, reader=found.reader)
    return Verified("wrong", found.text, f"{found.text} is not {right}", found.reader)


def _plain(answer: str) -> str:
    """The one spelling; of a number written out its value."""
    structure = read_structure(answer)
    if isinstance(structure, Value) and structure.number is not None and structure.unit is None:
        return structure.text
    return spell(answer).casefold()
