"""Solutions to works, on a thread beside the forwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stepscore.engine.work import Work
from stepscore.errors import StepscoreError
from stepscore.scoring import Scoring
from stepscore.types import EncodedSolution, Solution


def encode_each(scorer: Scoring, salt: str, solutions: Sequence[Solution]) -> list[tuple[Work, int] | StepscoreError]:
    """For each solution, in order, its work and the tokens that it would compute now, or why it cannot be encoded.

    salt: prefixes are shared only with works of the same one.
    """
    return [_encode(scorer, salt, solution) for solution in solutions]


def _encode(scorer: Scoring, salt: str, solution: Solution) -> tuple[Work, int] | StepscoreError:
    try:
        encoded = salted(scorer.encode(solution), salt)
    except StepscoreError as error:
        return error
    return Work(encoded), scorer.cost(encoded)


def salted(encoded: EncodedSolution, salt: str) -> EncodedSolution:
    """The same sequences under a salt."""
    if not salt:
        return encoded
    return replace(encoded, sequences=tuple(replace(sequence, salt=salt) for sequence in encoded.sequences))
