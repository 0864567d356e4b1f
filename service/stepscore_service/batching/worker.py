"""One forward, on the engine's thread: an answer for every solution, whatever goes wrong; and how fast forwards are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NoReturn

import structlog

from stepscore.engine.protocol import SMALLEST_FORWARD, Work
from stepscore.errors import EngineDead, EngineError, OutOfMemory, StepscoreError, forget_frames
from stepscore.scoring.protocol import PipelinedScoring, Scoring
from stepscore.types import Reading

ForwardResult = Reading | StepscoreError | None
"""A solution's reading or error; None if it needs further forwards."""

Failed = Callable[[EngineError], None]

KEPT_SHARE = 0.9
"""The weight of all earlier forwards beside the latest in the estimate of the rate."""

log = structlog.get_logger("stepscore.batcher")


def start(scorer: Scoring, works: Sequence[Work], failed: Failed) -> Callable[[], Sequence[ForwardResult]]:
    """Start a forward, if the scorer can have one ahead; what waits for its results, one for each work, in order.

    What is returned never raises: a defect of the program becomes an error of every work, and is logged.
    """
    if not isinstance(scorer, PipelinedScoring) or scorer.info.in_flight == 1:
        return partial(_guard, works, partial(forward, scorer, works, failed))
    try:
        started = scorer.launch(works)
    except Exception as error:  # an EngineError, or a defect of the program: its turn comes with the results
        if isinstance(error, EngineError):
            forget_frames(error)
        started = partial(_raise, error)
    return partial(_guard, works, partial(_finish, scorer, works, started, failed))


def _raise(error: Exception) -> NoReturn:
    raise error


def _finish(
    scorer: Scoring, works: Sequence[Work], started: Callable[[], Sequence[ForwardResult]], failed: Failed
) -> Sequence[ForwardResult]:
    try:
        return started()
    except EngineError as caught:
        error = caught
    forget_frames(error)
    return _again(scorer, works, error, failed)


def _guard(works: Sequence[Work], run: Callable[[], Sequence[ForwardResult]]) -> Sequence[ForwardResult]:
    try:
        return run()
    except Exception as defect:
        log.error("forward_broke", solutions=len(works), exc_info=defect)
        return [EngineError(f"the forward pass broke: {type(defect).__name__}") for _ in works]


def forward(scorer: Scoring, works: Sequence[Work], failed: Failed = lambda error: None) -> list[ForwardResult]:
    """The result of each work, in order. failed: called with each error of a forward.

    A forward that does not fit into memory is run again in halves; one that fails otherwise once more for each
    solution alone, so that one cannot fail its neighbours. After EngineDead nothing is tried again.
    """
    try:
        return scorer.advance(works)
    except EngineError as caught:
        error = caught
    forget_frames(error)
    return _again(scorer, works, error, failed)


def _again(scorer: Scoring, works: Sequence[Work], error: EngineError, failed: Failed) -> list[ForwardResult]:
    """The results after a forward that failed."""
    failed(error)
    log.warning("forward_failed", solutions=len(works), code=error.code, reason=error.message)
    if isinstance(error, EngineDead):
        return [error for _ in works]
    return [result for part in _smaller(scorer, works, error) for result in forward(scorer, part, failed)] or [error]


def _smaller(scorer: Scoring, works: Sequence[Work], error: EngineError) -> Iterator[Sequence[Work]]:
    """What to try instead; nothing if one solution failed that cannot be made smaller."""
    out_of_memory = isinstance(error, OutOfMemory)
    if len(works) > 1:
        middle = len(works) // 2
        yield from [works[:middle], works[middle:]] if out_of_memory else [[work] for work in works]
    elif out_of_memory and scorer.info.chunked and works[0].token_budget > SMALLEST_FORWARD:
        works[0].token_budget //= 2
        yield works


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
