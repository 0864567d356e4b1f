"""One forward, on the engine's thread: an answer for every solution, whatever goes wrong; and how fast forwards are."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import structlog

from stepscore.engine.work import Work
from stepscore.errors import EngineError, StepscoreError
from stepscore.scoring import Scoring
from stepscore.types import Reading

ForwardResult = Reading | StepscoreError | None
"""A solution's reading or error; None if it needs further forwards."""

KEPT_SHARE = 0.9
"""The weight of all earlier forwards beside the latest in the estimate of the rate."""

log = structlog.get_logger("stepscore.batcher")


def forward(scorer: Scoring, works: Sequence[Work]) -> list[ForwardResult]:
    """The result of each work, in order.

    A forward that fails is run once more for each solution alone, so that one cannot fail its neighbours.
    """
    try:
        return scorer.advance(works)
    except EngineError as error:
        log.warning("forward_failed", solutions=len(works), reason=error.message)
        return [error] if len(works) == 1 else [forward(scorer, [work])[0] for work in works]


def results_of(works: Sequence[Work], future: Future[list[ForwardResult]]) -> Sequence[ForwardResult]:
    """The results of a forward. A defect of the program becomes an error of every solution, and is logged."""
    defect = future.exception()
    if defect is None:
        return future.result()
    log.error("forward_broke", solutions=len(works), exc_info=defect)
    return [EngineError(f"the forward pass broke: {type(defect).__name__}") for _ in works]


class ThroughputEstimate:
    """The rate of the latest forwards, each weighted by its time. For one writer at a time."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0

    def update(self, tokens: int, seconds: float) -> None:
        self._tokens = KEPT_SHARE * self._tokens + tokens
        self._seconds = KEPT_SHARE * self._seconds + seconds

    @property
    def tokens_per_second(self) -> float:
        """0 if nothing was measured."""
        return self._tokens / self._seconds if self._seconds else 0.0
