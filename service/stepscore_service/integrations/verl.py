"""verl: `compute_score`, a custom reward function, and `StepRewardManager`, which writes step rewards where steps end.

    custom_reward_function.path=pkg://stepscore_service.integrations.verl custom_reward_function.name=compute_score

    reward.reward_manager.source=importlib reward.reward_manager.name=StepRewardManager
    reward.reward_manager.module.path=pkg://stepscore_service.integrations.verl

verl sums a sample's rewards under GRPO and RLOO, so that step rewards as they are favour long chains there: choose
another shape (PRM_SHAPE, or `shape=`), or use `compute_score`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stepscore_service.client.errors import ServiceError
from stepscore_service.integrations.connection import (
    client,
    item,
    number_of,
    on_error,
    options,
    problem_in,
    solution_text,
)
from stepscore_service.integrations.shaped import Rewarded, ShapedReward, shaped_reward
from stepscore_service.schemas.chat import on_own_lines
from stepscore_service.schemas.score import ErrorBody, FailedItem, ScoreAnswer

Result = ScoreAnswer | FailedItem
StepSpans = list[tuple[tuple[int, int], float]]
TextOf = Callable[[Sequence[int]], str]


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    shape: str | None = None,
    reference: float | None = None,
    blend: Mapping[str, Any] | None = None,
    **others: Any,
) -> dict[str, float]:
    """`score`, and what verl logs; the keys are the same for all samples. Samples of one step travel together.

    shape, blend: of POST /reward, else PRM_SHAPE and PRM_BLEND: `score` is the sum of the shape, or the blended reward.
    The problem is `question`, `problem` or `prompt` of extra_info. Raises ServiceError for a solution that cannot be
    scored, unless PRM_ON_ERROR is `lowest`; KeyError without a problem, ValueError for a blend without ground truth.
    """
    problem, shaped = problem_in(extra_info or {}), shaped_reward(shape, blend, reference, groups=False)
    solution = solution_text(solution_str)
    if shaped is None:
        return await _log_fields(await _score(problem, solution))
    return await _log_fields_shaped(shaped, await _reward(shaped, problem, solution, ground_truth))


class StepScore(float):
    """A score that knows where its steps end. tokens: pairs of a response token's index and the step's reward."""

    tokens: tuple[tuple[int, float], ...]

    def __new__(cls, score: float, tokens: Sequence[tuple[int, float]]) -> StepScore:
        made = super().__new__(cls, score)
        made.tokens = tuple(tokens)
        return made

    def __reduce__(self) -> tuple[type[StepScore], tuple[float, tuple[tuple[int, float], ...]]]:
        return StepScore, (float(self), self.tokens)


class StepRewardManager:
    """A reward manager of verl's reward loop. It has the methods of RewardManagerBase, but needs no import of verl.

    shape, reference, blend: of POST /reward, else PRM_SHAPE, PRM_REFERENCE and PRM_BLEND. Without a shape and a blend
    the end of a step gets the step's reward; the known answer of a blend is the sample's ground truth.
    On paths of verl that take one number for each sample it is the score at the last token.
    """

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any = None,
        *others: Any,
        shape: str | None = None,
        reference: float | None = None,
        blend: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        self.tokenizer = tokenizer
        self._shaped = shaped_reward(shape, blend, reference, groups=False)

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The score of the one sample in `data`, and what verl logs. What tools wrote into the response is left out."""
        sample = data[0]
        columns, places = sample.non_tensor_batch, _places(sample.batch)
        ids = [int(sample.batch["responses"][place]) for place in places]
        raw = columns.get("raw_prompt")
        problem = problem_in(columns.get("extra_info") or {}) if raw is None else item(list(raw), "")["problem"]
        logged, steps = await self._reward(problem, self._text(ids), columns)
        ends = step_ends(self._text, ids, [span for span, _ in steps])
        tokens = [(places[end], reward) for end, (_, reward) in zip(ends, steps, strict=True)]
        score = StepScore(logged["score"], tokens or [(places[-1] if places else 0, logged["score"])])
        return {"reward_score": score, "reward_extra_info": logged}

    def _text(self, ids: Sequence[int]) -> str:
        """What the tokens say, as it is scored. It never gets shorter if tokens are added."""
        return on_own_lines(self.tokenizer.decode(ids, skip_special_tokens=True))

    async def _reward(self, problem: str, text: str, columns: Mapping[str, Any]) -> tuple[dict[str, float], StepSpans]:
        """What verl logs, and for each step its characters and what its end gets; none for a sample without its own."""
        if self._shaped is None:
            scored = await _score(problem, text)
            own = [] if isinstance(scored, FailedItem) else zip(scored.spans, scored.rewards, strict=True)
            return await _log_fields(scored), list(own)
        truth = (columns.get("reward_model") or {}).get("ground_truth")
        result = await _reward(self._shaped, problem, text, truth)
        steps = [] if isinstance(result, FailedItem) else [(step.characters, step.shaped) for step in result.steps]
        return await _log_fields_shaped(self._shaped, result), steps

    @classmethod
    def assemble_rm_scores(cls, data: Any, scores: Sequence[float]) -> Any:
        """The tensor (B, T) of rewards: a step's reward at the token that ends it, 0 at all others."""
        responses_BT = data.batch["responses"]
        rewards_BT = responses_BT.new_zeros(responses_BT.shape).float()
        lengths_B = data.batch["attention_mask"][:, data.batch["prompts"].size(1) :].sum(dim=1)
        for row, score in enumerate(scores):
            for token, reward in getattr(score, "tokens", ((int(lengths_B[row]) - 1, float(score)),)):
                rewards_BT[row, token] += reward
        return rewards_BT


def step_ends(text_of: TextOf, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[int]:
    """The index of the token with which each step ends, in order. spans: characters in the text of all tokens."""
    return [_first_reaching(text_of, ids, end) - 1 for _, end in spans]


def _first_reaching(text_of: TextOf, ids: Sequence[int], characters: int) -> int:
    """How many tokens at least write so many characters."""
    low, high = 1, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(text_of(ids[:middle])) >= characters:
            high = middle
        else:
            low = middle + 1
    return low


def _places(batch: Any) -> list[int]:
    """Where in the response the policy's own tokens are: not padding, nor what a tool wrote in between.

    `response_mask` says it; without one the response holds nothing else.
    """
    width = batch["responses"].shape[-1]
    own = batch.get("response_mask")
    mask = batch["attention_mask"][-width:] if own is None else own
    return [place for place in range(width) if int(mask[place])]


async def _score(problem: str, solution: str) -> Result:
    """Calls of all samples travel together. A solution whose text cannot be scored is a FailedItem."""
    try:
        future = client().submit(lambda each: each.score(problem, solution=solution, **options()))
        return await asyncio.wrap_future(future)
    except ServiceError as error:
        if not error.of_text:
            raise
        return FailedItem(index=0, error=ErrorBody(code=error.code, message=error.message, detail=error.detail))


async def _log_fields(result: Result) -> dict[str, float]:
    """first_error: -1 if there is none. scored: 0 for a sample that got the lowest reward instead of its own."""
    chosen = on_error("raise", ("raise", "lowest"))
    score = await asyncio.to_thread(number_of, result, chosen)
    assert score is not None
    if isinstance(result, FailedItem):
        return {"score": score, "prm_min": score, "prm_mean": score, "first_error": 0, "steps": 0, "scored": 0}
    steps, first = result.rewards, result.first_error
    return {
        "score": score,
        "prm_min": min(steps),
        "prm_mean": sum(steps) / len(steps),
        "first_error": -1 if first is None else first,
        "steps": len(steps),
        "scored": 1,
    }


async def _reward(shaped: ShapedReward, problem: str, solution: str, answer: Any) -> Rewarded:
    return (await asyncio.wrap_future(shaped.submit([shaped.item(problem, solution, answer)]))).results[0]


async def _log_fields_shaped(shaped: ShapedReward, result: Rewarded) -> dict[str, float]:
    """outcome: 1 right, 0 wrong or unreadable, -1 not looked at. scored: 0 for a sample with the lowest reward."""
    chosen = on_error("raise", ("raise", "lowest"))
    score = await asyncio.to_thread(shaped.number, result, chosen)
    assert score is not None
    if isinstance(result, FailedItem):
        return {"score": score, "prm_score": score, "outcome": 0, "steps": 0, "scored": 0}
    outcome = -1 if result.outcome is None else int(result.outcome.outcome == "right")
    return {"score": score, "prm_score": result.score, "outcome": outcome, "steps": len(result.steps), "scored": 1}
