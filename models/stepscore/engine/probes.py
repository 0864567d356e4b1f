"""How far scores move when the engine's numbers change: a probe set, measured before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepscore.errors import QuantizationError, StepscoreError
from stepscore.types import Reading, Solution

PROBES = (
    Solution("How many are three and four?", ("3 + 4 = 7", "So the answer is 7.")),
    Solution("How many are three and four?", ("3 + 4 = 8", "So the answer is 8.")),
    Solution(
        "A box holds 12 eggs. How many eggs are in 5 boxes, if 7 are broken?",
        ("5 boxes hold 5 * 12 = 60 eggs.", "Without the broken ones there are 60 - 7 = 53.", "The answer is 53."),
    ),
    Solution(
        "A box holds 12 eggs. How many eggs are in 5 boxes, if 7 are broken?",
        ("5 boxes hold 5 * 12 = 60 eggs.", "With the broken ones there are 60 + 7 = 67.", "The answer is 67."),
    ),
    Solution(
        "Solve x^2 - 5x + 6 = 0.",
        ("We factor x^2 - 5x + 6 = (x - 2)(x - 3).", "So x = 2 or x = 3.", "The sum of the roots is 5, as it must be."),
    ),
    Solution(
        "Solve x^2 - 5x + 6 = 0.",
        ("The discriminant is 25 - 24 = 1.", "So x = (5 + 1) / 4 = 1.5.", "The answer is \\boxed{1.5}."),
    ),
    Solution(
        "A train leaves at 9:40 and arrives at 13:05. How long does it travel?",
        ("From 9:40 to 13:40 are 4 hours.", "13:05 is 35 minutes earlier.", "So it travels 3 hours and 25 minutes."),
    ),
    Solution(
        "Ann has twice as many books as Ben. Together they have 36. How many does Ann have?",
        ("Let Ben have b books, so that Ann has 2b.", "Then 3b = 36 and b = 12.", "Ann has 12 books."),
    ),
)

Score = Callable[[Sequence[Solution]], Sequence[Reading | StepscoreError]]


def measured(score: Score, change: Callable[[], None], bound: float) -> float:
    """Make a change, and report by how much the rewards of the probes moved at most.

    Rewards that reach beyond [-1, 1] are compared with their largest. Raises QuantizationError if it is more than
    `bound`, or if a probe cannot be scored.
    """
    before = _rewards(score(PROBES))
    change()
    after = _rewards(score(PROBES))
    scale = max(1.0, *map(abs, before))
    error = max(abs(one - other) for one, other in zip(before, after, strict=True)) / scale
    if error > bound:
        raise QuantizationError(
            f"8-bit weights move scores by {error:.4f} on the probes, and {bound:.4f} is allowed; "
            "serve without quantize, or raise max_quantize_error",
            error=error,
            bound=bound,
        )
    return error


def _rewards(answers: Sequence[Reading | StepscoreError]) -> list[float]:
    readings = [answer for answer in answers if isinstance(answer, Reading)]
    if len(readings) < len(answers):
        raise QuantizationError("the model cannot score the probes, so that the error of 8-bit weights is unknown")
    return [reward for reading in readings for reward in reading.rewards]
