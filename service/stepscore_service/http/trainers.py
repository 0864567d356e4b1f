"""What the views for trainers share: the options in the URL, scoring of dialogues, and the number of each item."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Depends, Query, Request

from stepscore.aggregate import AGGREGATES
from stepscore.errors import StepscoreError, in_places
from stepscore.types import SolutionRequest
from stepscore_service.batching.protocols import RequestContext
from stepscore_service.http.dependencies import TheContext, ThePool
from stepscore_service.http.json_body import while_connected
from stepscore_service.schemas.chat import (
    Dialogue,
    dialogue_after,
    dialogue_of,
    messages_of,
    on_own_lines,
    problem_of_messages,
    response_after,
    response_of,
    without_thinking,
)
from stepscore_service.schemas.score import ScoreAnswer
from stepscore_service.serving.scoring import ScoreOptions, ScoreResult, resolve_options, score
from stepscore_service.settings import Settings

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo
    from stepscore_service.serving.model_pool import ModelPool, ServedModel

Parsed = Dialogue | SolutionRequest | StepscoreError
"""What a view reads of one item: a dialogue, steps that are given, or why it is neither."""


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """What a trainer's user says in the URL. template: how the policy's chats are written (settings)."""

    model: str | None
    aggregate: str | None
    on_error: Literal["raise", "lowest"]
    thinking: Literal["keep", "drop"]
    template: str


async def _options(
    request: Request,
    model: Annotated[
        str | None, Query(min_length=1, description="which model; the first one served by default")
    ] = None,
    aggregate: Annotated[str | None, Query(min_length=1, description="how step rewards become the number")] = None,
    on_error: Annotated[
        Literal["raise", "lowest"],
        Query(description="an item whose text cannot be scored fails the request, or gets the family's lowest reward"),
    ] = "raise",
    thinking: Annotated[
        Literal["keep", "drop"], Query(description="whether the text between <think> and </think> is scored")
    ] = "keep",
) -> ViewOptions:
    settings: Settings = request.app.state.settings
    return ViewOptions(model, aggregate, on_error, thinking, settings.chat_template)


TheOptions = Annotated[ViewOptions, Depends(_options)]


@dataclass(frozen=True, slots=True)
class View:
    """One call of a view: its request and everything that is needed to answer it."""

    request: Request
    pool: ModelPool
    context: RequestContext
    options: ViewOptions

    async def score(self, items: Sequence[Parsed], model: str | None = None) -> ViewResults:
        """One result for each item, in order. model: what the body names; the URL wins."""
        return await while_connected(self.request, self.score_unwatched(items, model))

    async def score_unwatched(self, items: Sequence[Parsed], model: str | None = None) -> ViewResults:
        """`score` for a caller that does not wait for it."""
        with self.pool.use(self.options.model or model) as served:
            options = resolve_options(served.info, self.options.aggregate)
            results = await _score_parsed(served, [self._solution(each) for each in items], self.context, options)
            return ViewResults(served.info, results, self.options, options.aggregate)

    def join(self, prompt: str | Sequence[Any], response: str) -> Dialogue:
        """Of a prompt that is a text, templated or not, or the messages of a chat. Raises InvalidChat."""
        if isinstance(prompt, str):
            return dialogue_after(prompt, response, self.options.template)
        return Dialogue(problem_of_messages(messages_of(prompt)), response_of(response))

    def split(self, text: str) -> Parsed:
        """Prompt and response of one templated text, or why they cannot be told apart."""
        try:
            return dialogue_of(text, self.options.template)
        except StepscoreError as error:
            return error

    def split_after(self, prompt: str, text: str) -> Parsed:
        """As `split`, given the prompt with which the text begins."""
        try:
            return response_after(prompt, text, self.options.template)
        except StepscoreError as error:
            return error

    def scored_text(self, item: Dialogue) -> str:
        """The response, or what follows its thinking if the URL says so."""
        if self.options.thinking == "keep":
            return item.response
        return without_thinking(item.response, item.in_thought)

    def _solution(self, item: Parsed) -> SolutionRequest | StepscoreError:
        if not isinstance(item, Dialogue):
            return item
        return SolutionRequest(item.problem, on_own_lines(self.scored_text(item)))


async def _view(request: Request, pool: ThePool, context: TheContext, options: TheOptions) -> View:
    return View(request, pool, context, options)


TheView = Annotated[View, Depends(_view)]


async def _score_parsed(
    served: ServedModel,
    items: Sequence[SolutionRequest | StepscoreError],
    context: RequestContext,
    options: ScoreOptions,
) -> list[ScoreResult]:
    parsed = [each for each in items if isinstance(each, SolutionRequest)]
    return in_places(items, await score(served, parsed, context, options))


@dataclass(frozen=True, slots=True)
class ViewResults:
    """The results of a view's items, in order."""

    info: ModelInfo
    results: Sequence[ScoreResult]
    options: ViewOptions
    aggregate: str

    @property
    def in_unit_interval(self) -> bool:
        """Whether the numbers lie in [0, 1], whatever the texts are."""
        return self.info.reward_range.kind == "probability" and AGGREGATES[self.aggregate].keeps_range

    def numbers(self) -> list[float]:
        """One number for each item.

        Raises the error of the first item that cannot be scored (detail: item). With on_error=lowest an item whose own
        text is at fault gets the lowest reward of the family instead, if there is one; what failed for any other
        reason (the set-up, the protocol, the service) is an error all the same.
        """
        return [self._number(place, result) for place, result in enumerate(self.results)]

    def answers(self) -> list[ScoreAnswer]:
        """The answers. Raises the error of the first item that cannot be scored (detail: item)."""
        return [_answer(place, result) for place, result in enumerate(self.results)]

    @property
    def tokens(self) -> int:
        return sum(each.token_count for each in self.results if isinstance(each, ScoreAnswer))

    def _number(self, place: int, result: ScoreResult) -> float:
        lowest, failed = self.info.reward_range.low, isinstance(result, StepscoreError) and result.of_text
        if failed and self.options.on_error == "lowest" and math.isfinite(lowest):
            return lowest
        return _answer(place, result).score


def _answer(place: int, result: ScoreResult) -> ScoreAnswer:
    if isinstance(result, StepscoreError):
        result.detail = {"item": place, **result.detail}
        raise result
    return result
