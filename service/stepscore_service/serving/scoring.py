"""/score: items to solutions, readings to answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepscore.aggregate import aggregate, aggregate_all, first_error, weakest_step
from stepscore.errors import StepscoreError, TooLong, UnscorableError
from stepscore.scoring import ModelInfo
from stepscore.text.segment import split
from stepscore.types import Solution
from stepscore_service.batching.context import Terms
from stepscore_service.batching.protocols import Outcome, Scored
from stepscore_service.errors import TooManyCharacters, body_of
from stepscore_service.schemas.score import ErrorBody, FailedItem, Include, ScoreAnswer, ScoreItem, Span, Tokens
from stepscore_service.serving.model_pool import Served

SPLIT_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Cut:
    """A solution in steps. spans: where each step stands in the text that was given."""

    solution: Solution
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an answer is to hold."""

    aggregate: str
    threshold: float
    include: frozenset[Include]


def wanted(info: ModelInfo, aggregate_: str | None, threshold: float | None, include: Sequence[Include]) -> Wanted:
    """The caller's choices over the model's own. Raises UnknownAggregate or UndefinedAggregate."""
    name = aggregate_ or info.aggregate
    aggregate([1.0], name, info.reward_range)
    return Wanted(name, info.threshold if threshold is None else threshold, frozenset(include))


async def cut_all(served: Served, items: Sequence[ScoreItem]) -> list[Cut | StepscoreError]:
    """The items in steps; texts are split on another thread, a few at a time so that others get their turn."""
    cuts: list[Cut | StepscoreError] = []
    for first in range(0, len(items), SPLIT_AT_ONCE):
        some = items[first : first + SPLIT_AT_ONCE]
        at_once = all(item.steps is not None for item in some)
        cuts += _cut_some(served, some) if at_once else await asyncio.to_thread(_cut_some, served, some)
    return cuts


def _cut_some(served: Served, items: Sequence[ScoreItem]) -> list[Cut | StepscoreError]:
    return [_cut(served, item) for item in items]


def _cut(served: Served, item: ScoreItem) -> Cut | StepscoreError:
    """One item in steps, or why it cannot be had."""
    try:
        _check_characters(item, served.max_characters)
        made = _given(item) if item.steps is not None else _split(item)
        _check_steps(made, served.info)
    except StepscoreError as error:
        return error
    return made


def _given(item: ScoreItem) -> Cut:
    steps = item.steps or []
    return Cut(Solution(item.problem, tuple(steps)), _joined_spans(steps))


def _split(item: ScoreItem) -> Cut:
    steps = split(item.solution or "", item.split)
    texts, spans = tuple(step.text for step in steps), tuple((step.start, step.end) for step in steps)
    return Cut(Solution(item.problem, texts), spans)


def _check_characters(item: ScoreItem, limit: int) -> None:
    """Splitting and tokenising what can never fit would keep a core busy for many seconds."""
    count = len(item.problem) + len(item.solution or "") + sum(map(len, item.steps or ()))
    if count > limit:
        message = f"{count} characters are {count - limit} more than the {limit} that are read"
        raise TooManyCharacters(message, characters=count, limit=limit, excess=count - limit)


def _check_steps(made: Cut, info: ModelInfo) -> None:
    """Every step is one token or more, so that their number alone can say that they are too many."""
    count, limit = len(made.spans), info.max_tokens
    if count > limit:
        message = f"{count} steps are {count - limit} tokens or more over the {limit} that {info.id} reads"
        raise TooLong(message, tokens=count, limit=limit, excess=count - limit, at_least=True)


def _joined_spans(steps: Sequence[str]) -> tuple[Span, ...]:
    """Where the steps stand in their concatenation."""
    spans, start = [], 0
    for step in steps:
        spans.append((start, start + len(step)))
        start += len(step)
    return tuple(spans)


async def outcomes(served: Served, cuts: Sequence[Cut | StepscoreError], terms: Terms) -> list[Outcome]:
    """The outcome of every cut, in order. Raises what the batcher raises."""
    solutions = [each.solution for each in cuts if isinstance(each, Cut)]
    scored = iter(await served.batcher.submit(solutions, terms.deadline, terms.tenant))
    return [next(scored) if isinstance(each, Cut) else each for each in cuts]


async def score_items(
    served: Served, items: Sequence[ScoreItem], want: Wanted, terms: Terms
) -> list[ScoreAnswer | StepscoreError]:
    """An answer, or the error, for every item, in order."""
    cuts = await cut_all(served, items)
    found = await outcomes(served, cuts, terms)
    return [_result(served.info, item, each, out, want) for item, each, out in zip(items, cuts, found, strict=True)]


def placed(results: Sequence[ScoreAnswer | StepscoreError]) -> list[ScoreAnswer | FailedItem]:
    """Results with their places, errors included."""
    return [
        FailedItem(index=index, error=ErrorBody(**body_of(result)))
        if isinstance(result, StepscoreError)
        else result.model_copy(update={"index": index})
        for index, result in enumerate(results)
    ]


def _result(
    info: ModelInfo, item: ScoreItem, each: Cut | StepscoreError, outcome: Outcome, want: Wanted
) -> ScoreAnswer | StepscoreError:
    if isinstance(outcome, StepscoreError):
        return outcome
    if isinstance(each, StepscoreError):
        return each
    extra: dict[str, Any] = {}
    if item.solution is not None or "spans" in want.include:
        extra["spans"] = list(each.spans)
    if "tokens" in want.include:
        extra["tokens"] = [Tokens(ids=list(s.ids), reads=list(s.reads)) for s in outcome.encoded.sequences]
    if "logits" in want.include:
        unreadable = _first_unreadable(outcome.reading.logits)
        if unreadable is not None:
            return UnscorableError(f"the logits of step {unreadable} are not finite numbers", step=unreadable)
        extra["logits"] = [list(row) for row in outcome.reading.logits]
    return answer(info, outcome, want, extra)


def answer(info: ModelInfo, scored: Scored, want: Wanted, extra: Mapping[str, Any]) -> ScoreAnswer:
    """The answer for one reading; only fields that are given here or in `extra` go over the wire."""
    reading = scored.reading
    rewards = list(reading.rewards)
    given = dict(extra)
    if reading.extras:
        given["extras"] = {name: list(values) for name, values in reading.extras.items()}
    if reading.rationales:
        given["rationales"] = list(reading.rationales)
    return ScoreAnswer(
        rewards=rewards,
        score=aggregate(rewards, want.aggregate, info.reward_range),
        aggregate=want.aggregate,
        aggregates=aggregate_all(rewards, info.reward_range),
        weakest_step=weakest_step(rewards),
        first_error=first_error(rewards, want.threshold),
        threshold=want.threshold,
        token_count=scored.encoded.tokens,
        model=info.id,
        revision=info.revision,
        **given,
    )


def _first_unreadable(logits: Sequence[Sequence[float]]) -> int | None:
    return next((step for step, row in enumerate(logits) if not all(map(math.isfinite, row))), None)
