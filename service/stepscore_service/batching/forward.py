"""One forward, on the engine's thread: an answer for every item, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import structlog

from stepscore.errors import EngineError
from stepscore.scoring import Scoring
from stepscore_service.batching.protocols import Answer
from stepscore_service.batching.queue import Item

log = structlog.get_logger("stepscore.batcher")


def forward(scorer: Scoring, items: Sequence[Item]) -> list[Answer | None]:
    """For each item, in order, its answer; None where it needs further forwards.

    A forward that fails is run once more for each solution alone, so that one cannot fail its neighbours.
    """
    try:
        return scorer.advance([item.work for item in items])
    except EngineError as error:
        log.warning("forward_failed", solutions=len(items), reason=error.message)
        return [error] if len(items) == 1 else [forward(scorer, [item])[0] for item in items]


def answers_of(items: Sequence[Item], future: Future[list[Answer | None]]) -> Sequence[Answer | None]:
    """The answers of a forward. A defect of the program is told as an error of every solution, and logged."""
    defect = future.exception()
    if defect is None:
        return future.result()
    log.error("forward_broke", solutions=len(items), exc_info=defect)
    return [EngineError(f"the forward pass broke: {type(defect).__name__}") for _ in items]
