"""Solutions to works, on a thread beside the forwards."""

from __future__ import annotations

from collections.abc import Sequence

from stepscore.engine.work import Work
from stepscore.errors import StepscoreError
from stepscore.types import Solution
from stepscore_service.batcher_ports import Scoring


def encode_each(scorer: Scoring, solutions: Sequence[Solution]) -> list[tuple[Work, int] | StepscoreError]:
    """For each solution, in order, its work and the tokens that it would compute now, or why it cannot be encoded."""
    return [_encode(scorer, solution) for solution in solutions]


def _encode(scorer: Scoring, solution: Solution) -> tuple[Work, int] | StepscoreError:
    try:
        encoded = scorer.encode(solution)
    except StepscoreError as error:
        return error
    return Work(encoded), scorer.cost(encoded)
