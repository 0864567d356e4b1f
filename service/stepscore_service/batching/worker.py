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

SHORTEST_SECONDS, LONGEST_SECONDS = 1, 60
NEWEST_SHARE = 0.2
"""The weight of the latest forward in the estimate."""

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
    """Tokens per second, weighted towards the latest forwards. For one writer at a time."""

    def __init__(self) -> None:
        self._tokens_per_second = 0.0

    def update(self, tokens: int, seconds: float) -> None:
        now = tokens / seconds
        known = self._tokens_per_second
        self._tokens_per_second = (1 - NEWEST_SHARE) * known + NEWEST_SHARE * now if known else now

    def seconds_for(self, tokens: int) -> int:
        """How long the tokens will take, in whole seconds within the bounds; the shortest if nothing is known."""
        speed = self._tokens_per_second
        expected = round(tokens / speed) if speed else SHORTEST_SECONDS
        return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, expected))
