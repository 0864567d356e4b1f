"""The one way to score: requests in, results out, over a served model or over a scorer in a command.

A result is an answer or the error of that solution; it keeps its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepscore.aggregate import aggregate, aggregate_all, check_threshold, first_error, weakest_step
from stepscore.errors import StepscoreError, UnscorableError, map_ok
from stepscore.types import SolutionRequest
from stepscore_service.batching.encoding import EncodedRequest, encode_each
from stepscore_service.batching.protocols import RequestContext, ScoredSolution, SolutionOutcome
from stepscore_service.schemas.score import Include, ScoreAnswer, SequenceTokens

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo, Scoring
    from stepscore_service.serving.model_pool import ServedModel

ScoreResult = ScoreAnswer | StepscoreError


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What an answer holds. aggregate: which one is the score. threshold: steps with a lower reward are errors."""

    aggregate: str
    threshold: float
    include: frozenset[Include] = frozenset()


def resolve_options(
    info: ModelInfo, aggregate_: str | None = None, threshold: float | None = None, include: Sequence[Include] = ()
) -> ScoreOptions:
    """The caller's choices, and the model's own for None.

    Raises UnknownAggregate, UndefinedAggregate and InvalidThreshold.
    """
    name = aggregate_ or info.aggregate
    aggregate([0.5], name, info.reward_range)
    if threshold is not None:
        check_threshold(threshold, info.reward_range)
    return ScoreOptions(name, info.threshold if threshold is None else threshold, frozenset(include))


async def score(
    served: ServedModel, requests: Sequence[SolutionRequest], context: RequestContext, options: ScoreOptions
) -> list[ScoreResult]:
    """One result for each request, in order; each is counted in the metrics.

    Raises Draining, Overloaded, TooManyTokens and DeadlineExceeded for all of them together.
    """
    context.facts.model, context.facts.solutions = served.info.id, len(requests)
    results = _answers(served.info, await served.batcher.submit(requests, context), options)
    for result in results:
        served.metrics.count_result(result, context)
    return results


def score_offline(scorer: Scoring, requests: Sequence[SolutionRequest], options: ScoreOptions) -> list[ScoreResult]:
    """One result for each request, in order, without a batcher. Raises EngineError if the whole forward fails."""
    return _answers(scorer.info, read_offline(scorer, requests), options)


def read_offline(scorer: Scoring, requests: Sequence[SolutionRequest]) -> list[SolutionOutcome]:
    """One reading, or the error of that solution, for each request. Raises EngineError if the whole forward fails."""

    def read(encoded: Sequence[EncodedRequest]) -> list[SolutionOutcome]:
        readings = scorer.forward([each.encoded for each in encoded])
        return [
            reading if isinstance(reading, StepscoreError) else ScoredSolution(each.split, each.encoded, reading)
            for each, reading in zip(encoded, readings, strict=True)
        ]

    return map_ok(encode_each(scorer, requests), read)


def _answers(info: ModelInfo, outcomes: Sequence[SolutionOutcome], options: ScoreOptions) -> list[ScoreResult]:
    return [each if isinstance(each, StepscoreError) else _answer(info, each, options) for each in outcomes]


def _answer(info: ModelInfo, scored: ScoredSolution, options: ScoreOptions) -> ScoreResult:
    """Only fields that are set go over the wire."""
    rewards = list(scored.reading.rewards)
    unreadable = _first_unreadable(scored.reading.logits) if "logits" in options.include else None
    if unreadable is not None:
        return UnscorableError(f"the logits of step {unreadable} are not finite numbers", step=unreadable)
    return ScoreAnswer(
        rewards=rewards,
        score=aggregate(rewards, options.aggregate, info.reward_range),
        aggregate=options.aggregate,
        aggregates=aggregate_all(rewards, info.reward_range),
        weakest_step=weakest_step(rewards),
        first_error=first_error(rewards, options.threshold),
        threshold=options.threshold,
        token_count=scored.encoded.tokens,
        model=info.id,
        revision=info.revision,
        dtype=info.dtype,
        **_optional(scored, options.include),
    )


def _optional(scored: ScoredSolution, include: frozenset[Include]) -> dict[str, Any]:
    """The fields that only some answers have."""
    reading, fields = scored.reading, dict[str, Any]()
    if scored.split.from_text or "spans" in include:
        fields["spans"] = list(scored.split.spans)
    if "tokens" in include:
        fields["tokens"] = [SequenceTokens(ids=list(s.ids), reads=list(s.reads)) for s in scored.encoded.sequences]
    if "logits" in include:
        fields["logits"] = [list(row) for row in reading.logits]
    if reading.extras:
        fields["extras"] = {name: list(values) for name, values in reading.extras.items()}
    if reading.rationales:
        fields["rationales"] = list(reading.rationales)
    return fields


def _first_unreadable(logits: Sequence[Sequence[float]]) -> int | None:
    return next((step for step, row in enumerate(logits) if not all(map(math.isfinite, row))), None)
