"""A model whose first forward fails is not served, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from held_scorer import HeldScorer
from stepscore.errors import CheckpointError, EngineError, OutOfMemory, StepscoreError, UnscorableError
from stepscore.types import Reading, Solution
from stepscore_service.serving.model_pool import warmed


class FirstForward(HeldScorer):
    """answer: of the first forward, which raises it unless it belongs to the one solution."""

    def __init__(self, answer: Reading | Exception) -> None:
        super().__init__()
        self._answer = answer

    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
        if isinstance(self._answer, Reading | UnscorableError):
            return [self._answer]
        raise self._answer


def test_a_model_that_scores_is_served() -> None:
    scorer = FirstForward(Reading((0.5,)))
    assert warmed(scorer) is scorer  # type: ignore[arg-type]
    assert not scorer.closed


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (UnscorableError("step 0 is NaN"), CheckpointError),
        (OutOfMemory("a forward of 60 tokens does not fit into memory"), OutOfMemory),
        (EngineError("the forward pass failed"), EngineError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_whatever_goes_wrong_in_the_first_forward_closes_the_model(answer: Exception, raised: type) -> None:
    scorer = FirstForward(answer)
    with pytest.raises(raised):
        warmed(scorer)  # type: ignore[arg-type]
    assert scorer.closed
