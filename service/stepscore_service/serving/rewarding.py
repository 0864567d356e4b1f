"""Rewards for trainers on top of `serving.score`: per policy token and as one number, blended with an outcome.

Everything here runs after the forward and off the event loop: tokens are found, answers verified, rewards shaped.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from stepscore.aggregate import aggregate
from stepscore.errors import InvalidInput, InvalidShape, StepscoreError, TokensMismatch, map_ok
from stepscore.rewards.blending import Blend, BlendedReward, blend_rewards, clip_rewards, outcome_reward
from stepscore.rewards.hacking_signs import HackingSigns, find_signs, length_correlation, outcome_gap
from stepscore.rewards.shaping import Shaping, shape_rewards
from stepscore.rewards.token_rewards import TokenOffsets, check_offsets, place_rewards, tokens_of_steps
from stepscore.text.policy_tokenizer import PolicyTokenizer
from stepscore.types import SolutionRequest, Span
from stepscore.verify.math_verifier import SHOWN, is_readable
from stepscore.verify.open import open_verifier
from stepscore.verify.verifier import Truth, Verified
from stepscore_service.batching.protocols import RequestContext
from stepscore_service.errors import DeadlineExceeded, body_of
from stepscore_service.schemas.reward import (
    LengthCorrelation,
    Outcome,
    RewardAnswer,
    RewardAnswers,
    RewardedStep,
    RewardItem,
    RewardRequest,
    Signs,
)
from stepscore_service.schemas.score import ErrorBody, FailedItem, ScoreAnswer, ShapeOptions, SolutionFields
from stepscore_service.serving.scoring import ScoreResult, resolve_options, score
from stepscore_service.serving.tokenizers import PolicyTokenizers

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo
    from stepscore_service.serving.model_pool import ServedModel

Made = TypeVar("Made")
VERIFIED_AT_ONCE = 8
"""As many as there are processes for algebra, so that a formula that hangs delays few others."""


@dataclass(frozen=True, slots=True)
class PolicyTokens:
    """The policy's tokens of one solution. ids: () if the caller sent only offsets."""

    ids: tuple[int, ...]
    offsets: TokenOffsets


@dataclass(frozen=True, slots=True)
class RewardedSolution:
    """A solution's reward and all that it was made of; tokens: None if the caller sent none."""

    score: float
    blended: BlendedReward
    verified: Verified | None
    outcome: float | None
    tokens: PolicyTokens | None
    step_tokens: tuple[Span, ...]
    signs: HackingSigns


RewardedResult = RewardedSolution | StepscoreError


async def reward(
    served: ServedModel, request: RewardRequest, context: RequestContext, tokenizers: PolicyTokenizers
) -> RewardAnswers:
    """One answer or error for each item, in order; each is counted in the metrics.

    Raises what `score` raises (DeadlineExceeded also while answers are verified), UnknownTokenizer, and InvalidOption
    for a verifier's option, all for the whole request.
    """
    options = resolve_options(served.info, request.aggregate, None, ["spans"])
    tokenizer = tokenizers.pick(request.tokenizer)
    results = await score(served, list(map(solution_of, request.items)), context, options)
    rewarder = Rewarder(served.info, request, options.aggregate, tokenizer, results, context.deadline)
    made, answers = await asyncio.to_thread(rewarder.run)
    for each in made:
        served.metrics.count_reward(each)
    if answers.length_correlation.characters is not None:
        served.metrics.set_length_correlation(answers.length_correlation.characters)
    return answers


def solution_of(item: SolutionFields) -> SolutionRequest:
    """SolutionFields guarantees that one of `steps` and `solution` is given."""
    given = item.solution or "" if item.steps is None else tuple(item.steps)
    return SolutionRequest(item.problem, given, item.split, item.partial)


def text_of(item: SolutionFields) -> str:
    """The text in which spans and offsets count characters."""
    return item.solution or "" if item.steps is None else "".join(item.steps)


def find_tokens(item: SolutionFields, tokenizer: PolicyTokenizer | None) -> PolicyTokens | None:
    """The policy's tokens of an item; None if it has neither offsets nor ids, and no tokenizer is named.

    Raises TokensMismatch if ids or offsets are not those of the text, or if ids come without either.
    """
    text, ids = text_of(item), tuple(item.token_ids or ())
    if item.offsets is not None:
        if item.token_ids is not None and len(ids) != len(item.offsets):
            raise TokensMismatch(f"{len(ids)} token ids with {len(item.offsets)} offsets; send one for each")
        if item.token_ids is not None and tokenizer is not None:
            tokenizer.locate(ids, text)
        return PolicyTokens((), check_offsets(text, item.offsets))
    if item.token_ids is not None:
        if tokenizer is None:
            raise TokensMismatch("token ids alone have no place in the text: send `offsets`, or name a `tokenizer`")
        return PolicyTokens((), check_offsets(text, tokenizer.locate(ids, text)))
    if tokenizer is None:
        return None
    found, offsets = tokenizer.encode(text)
    return PolicyTokens(tuple(found), check_offsets(text, offsets))


def with_token_rewards(
    items: Sequence[SolutionFields],
    results: Sequence[ScoreResult],
    options: ShapeOptions,
    tokenizer: PolicyTokenizer | None,
) -> list[ScoreResult]:
    """The results of /score, each with the rewards of its policy's tokens, or with the error of that item."""
    references = _references(items, [_rewards(each) for each in results], options)

    def add(place: int, answer: ScoreAnswer) -> ScoreResult:
        item, shaping = items[place], _shaping(options, references[place])
        tokens = find_tokens(item, tokenizer)
        if tokens is None:
            raise TokensMismatch("rewards of tokens need `offsets`, or the name of a `tokenizer`")
        at = tokens_of_steps(text_of(item), answer.spans, tokens.offsets)
        shaped = shape_rewards(answer.rewards, answer.score, shaping)
        fields = {"token_rewards": place_rewards(shaped, at, len(tokens.offsets)), "step_tokens": at}
        return answer.model_copy(update=fields | ({"token_ids": list(tokens.ids)} if tokens.ids else {}))

    return _each(results, add)


class Rewarder:
    """Makes the rewards of one request from the results of its items."""

    def __init__(
        self,
        info: ModelInfo,
        request: RewardRequest,
        aggregate: str,
        tokenizer: PolicyTokenizer | None,
        results: Sequence[ScoreResult],
        deadline: float | None = None,
    ) -> None:
        """deadline: on the monotonic clock; no answer is verified after it."""
        self._deadline = deadline
        self._info, self._request, self._aggregate = info, request, aggregate
        self._tokenizer, self._results = tokenizer, results
        self._blend = Blend(**request.blend.model_dump(exclude={"verifier"}))
        self._verified: dict[int, Verified | StepscoreError] = {}
        self._verifier = open_verifier(request.blend.verifier)
        self._clipped = [clip_rewards(_rewards(each), self._blend) for each in results]

    def run(self) -> tuple[list[RewardedResult], RewardAnswers]:
        """One reward, or the error of that item, for each, in order; and what goes over the wire."""
        self._verified = self._verify_all()
        made: list[RewardedResult] = _each(self._results, self._reward)
        return made, self._answers(made)

    def _verify_all(self) -> dict[int, Verified | StepscoreError]:
        """By place, of the items with a known answer. Raises DeadlineExceeded."""
        places = [
            place
            for place, (item, result) in enumerate(zip(self._request.items, self._results, strict=True))
            if item.answer is not None and isinstance(result, ScoreAnswer)
        ]
        if not places:
            return {}
        with ThreadPoolExecutor(VERIFIED_AT_ONCE) as threads:
            try:
                return dict(zip(places, threads.map(self._verify, places), strict=True))
            except DeadlineExceeded:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _verify(self, place: int) -> Verified | StepscoreError:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise DeadlineExceeded("the time limit passed while answers were verified")
        item = self._request.items[place]
        text = item.solution if item.steps is None else "\n".join(item.steps)
        try:
            return _check_known_answer(
                self._verifier.verify([text or ""], Truth(answer=item.answer or ""))[0], item.answer or ""
            )
        except StepscoreError as error:
            return error

    def _answers(self, made: Sequence[RewardedResult]) -> RewardAnswers:
        rows = [(place, each) for place, each in enumerate(made) if isinstance(each, RewardedSolution)]
        rewards = [each.blended.reward for _, each in rows]
        lengths = {
            "steps": [len(each.blended.steps) for _, each in rows],
            "characters": [len(text_of(self._request.items[place])) for place, _ in rows],
        }
        correlations = {name: length_correlation(rewards, values) for name, values in lengths.items()}
        return RewardAnswers(
            model=self._info.id,
            revision=self._info.revision,
            dtype=self._info.dtype,
            shape=self._request.shape,
            results=[self._answer(place, each) for place, each in enumerate(made)],
            length_correlation=LengthCorrelation(**{k: v for k, v in correlations.items() if v is not None}),
        )

    def _reward(self, place: int, answer: ScoreAnswer) -> RewardedSolution:
        item, blend, clipped = self._request.items[place], self._blend, self._clipped[place]
        if item.answer is None and self._request.blend.asks_for_outcome:
            raise InvalidInput(
                "the blend is with an outcome, and this item has no `answer`; add it, or leave `outcome`, `right`, "
                "`wrong`, `gate`, `unreadable` and `verifier` out of `blend`",
                field="answer",
            )
        tokens = find_tokens(item, self._tokenizer)
        at = () if tokens is None else tuple(tokens_of_steps(text_of(item), answer.spans, tokens.offsets))
        verified = self._verified.get(place)
        if isinstance(verified, StepscoreError):
            raise verified
        outcome = None if verified is None else outcome_reward(verified, blend)
        right = verified is not None and verified.outcome == "right"
        value = aggregate(clipped, self._aggregate, self._info.reward_range)
        shaped = shape_rewards(clipped, value, _shaping(self._request, self._references[place]))
        count = 0 if tokens is None else len(tokens.offsets)
        blended = blend_rewards(value, shaped, outcome, right=right, blend=blend, tokens=count)
        return RewardedSolution(value, blended, verified, outcome, tokens, at, self._signs(item, answer, verified))

    @cached_property
    def _references(self) -> list[float | None]:
        return _references(self._request.items, self._clipped, self._request)

    def _signs(self, item: RewardItem, answer: ScoreAnswer, verified: Verified | None) -> HackingSigns:
        text, gap = text_of(item), None
        if verified is not None and verified.outcome != "unreadable":
            gap = outcome_gap(answer.score, self._info.reward_range, right=verified.outcome == "right")
        return find_signs(item.problem, [text[start:end] for start, end in answer.spans], gap)

    def _answer(self, place: int, made: RewardedResult) -> RewardAnswer | FailedItem:
        """Only fields that are set go over the wire."""
        if isinstance(made, StepscoreError):
            return FailedItem(index=place, error=ErrorBody(**body_of(made)))
        result = self._results[place]
        assert isinstance(result, ScoreAnswer)
        fields: dict[str, object] = {}
        if made.tokens is not None:
            fields["token_rewards"] = place_rewards(made.blended.steps, made.step_tokens, len(made.tokens.offsets))
        if made.tokens is not None and made.tokens.ids:
            fields["token_ids"] = list(made.tokens.ids)
        if made.verified is not None:
            fields["outcome"] = _outcome(made)
        return RewardAnswer.model_validate(
            {
                "index": place,
                "reward": made.blended.reward,
                "score": made.score,
                "aggregate": self._aggregate,
                "total": made.blended.total,
                "steps": _steps(result, made),
                "signs": _wire_signs(made.signs),
                "token_count": result.token_count,
                **fields,
            }
        )


def _check_known_answer(verified: Verified, answer: str) -> Verified:
    """Raises InvalidInput if it is the known answer that cannot be read: no solution is at fault then, nor wrong."""
    if verified.outcome == "unreadable" and verified.found is not None and not is_readable(answer):
        raise InvalidInput(
            f"the known answer {answer[:SHOWN]!r} cannot be read, so that no other answer can be compared with it; "
            "correct it, or choose `verifier: exact`",
            field="answer",
        )
    return verified


def _each(
    results: Sequence[ScoreResult], make: Callable[[int, ScoreAnswer], Made | StepscoreError]
) -> list[Made | StepscoreError]:
    """What `make` makes of each answer and its place; an error, also one that it raises, keeps its place."""

    def attempt(place: int, answer: ScoreAnswer) -> Made | StepscoreError:
        try:
            return make(place, answer)
        except StepscoreError as error:
            return error

    places = [each if isinstance(each, StepscoreError) else (place, each) for place, each in enumerate(results)]
    return map_ok(places, lambda pairs: [attempt(*pair) for pair in pairs])


def _rewards(result: ScoreResult) -> list[float]:
    return [] if isinstance(result, StepscoreError) else result.rewards


def _shaping(options: ShapeOptions, reference: float | None) -> Shaping:
    """Raises InvalidShape for a group of one, whose progress would be 0 whatever it did."""
    if options.reference == "group" and reference is None:
        raise InvalidShape("`reference: group` needs two or more solutions of the problem that can be scored")
    return Shaping(options.shape, reference, options.temperature)


def _references(
    items: Sequence[SolutionFields], rewards: Sequence[Sequence[float]], options: ShapeOptions
) -> list[float | None]:
    """Of each item the number that was given or, for `group`, the mean last reward of its problem's solutions.

    None for the only solution of a problem.
    """
    if options.reference != "group":
        return [options.reference] * len(items)
    last: dict[str, list[float]] = {}
    for item, numbers in zip(items, rewards, strict=True):
        if numbers:
            last.setdefault(item.problem, []).append(numbers[-1])
    means = {problem: math.fsum(values) / len(values) for problem, values in last.items() if len(values) > 1}
    return [means.get(item.problem) for item in items]


def _outcome(made: RewardedSolution) -> Outcome:
    assert made.verified is not None
    assert made.outcome is not None
    found, reason = made.verified.found, made.verified.reason
    return Outcome(outcome=made.verified.outcome, reward=made.outcome, found=found, reason=reason)


def _steps(result: ScoreAnswer, made: RewardedSolution) -> list[RewardedStep]:
    tokens = [{"tokens": span} for span in made.step_tokens] or [{}] * len(result.rewards)
    rows = zip(result.rewards, made.blended.steps, result.spans, tokens, strict=True)
    return [RewardedStep(reward=raw, shaped=shaped, characters=span, **at) for raw, shaped, span, at in rows]


def _wire_signs(signs: HackingSigns) -> Signs:
    gap = {} if signs.gap is None else {"gap": signs.gap}
    return Signs(
        repeated_steps=list(signs.repeated_steps),
        steps_without_content=list(signs.steps_without_content),
        marker_text=list(signs.marker_text),
        **gap,
    )
