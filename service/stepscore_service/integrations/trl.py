"""TRL: `prm_reward`, a reward function of GRPOTrainer and RLOOTrainer, and `prm_reward_with` for one with options.

GRPOTrainer(reward_funcs=prm_reward, …)
GRPOTrainer(reward_funcs=prm_reward_with(shape="min_form", blend={"gate": 0}), …)
trl grpo --reward_funcs stepscore_service.integrations.trl.prm_reward …
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from stepscore_service.integrations.connection import client, item, number_of, on_error, options
from stepscore_service.integrations.shaped import ShapedReward, shaped_reward

TrlRewards = list[float | None]


async def prm_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    log_metric: Callable[[str, float], None] | None = None,
    *,
    shape: str | None = None,
    reference: float | str | None = None,
    blend: Mapping[str, Any] | None = None,
    answer: Sequence[Any] | None = None,
    **columns: Any,
) -> TrlRewards:
    """One number for each completion, text or conversation. All of them travel together.

    shape, blend: of POST /reward, else PRM_SHAPE and PRM_BLEND: the number is the sum of the shape, or the blended
    reward. A blend needs the data set's column `answer`. Without either, the number is the score.
    A completion that cannot be scored gets None (PRM_ON_ERROR=skip, the default), which TRL from 1.6 on leaves out if
    no other reward function gives it a number.
    Raises ServiceError or httpx.TransportError if the service fails beyond all retries, ValueError for lists of
    unequal length and for a blend without answers.
    """
    chosen = on_error("skip", ("raise", "lowest", "skip"))
    if len(prompts) != len(completions):
        raise ValueError(f"{len(prompts)} prompts and {len(completions)} completions; give one prompt a completion")
    items = [item(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
    shaped, version = shaped_reward(shape, blend, reference, groups=True), _version(columns.get("trainer_state"))
    if shaped is not None:
        results = (await asyncio.wrap_future(shaped.submit(_with_answers(shaped, items, answer), version))).results
        # Another thread, because the lowest reward is asked of the service.
        scores = await asyncio.to_thread(lambda: [shaped.number(result, chosen) for result in results])
    else:
        own: dict[str, Any] = {"policy_version": version, **options()}
        found = (await asyncio.wrap_future(client().submit(lambda each: each.score_items(items, **own)))).results
        scores = await asyncio.to_thread(lambda: [number_of(result, chosen) for result in found])
    if log_metric is not None:
        log_metric("prm/unscored", sum(score is None for score in scores) / max(1, len(scores)))
    return scores


def prm_reward_with(
    *, shape: str | None = None, reference: float | str | None = None, blend: Mapping[str, Any] | None = None
) -> Callable[..., Coroutine[Any, Any, TrlRewards]]:
    """`prm_reward` with these options, under that name: TRL logs a reward function by its name."""

    async def prm_reward_(*arguments: Any, **columns: Any) -> TrlRewards:
        return await prm_reward(*arguments, shape=shape, reference=reference, blend=blend, **columns)

    prm_reward_.__name__ = prm_reward.__name__
    return prm_reward_


def _with_answers(
    shaped: ShapedReward, items: Sequence[Mapping[str, str]], answers: Sequence[Any] | None
) -> list[dict[str, Any]]:
    known = [None] * len(items) if answers is None else answers
    return [shaped.item(each["problem"], each["solution"], one) for each, one in zip(items, known, strict=True)]


def _version(state: Any) -> str:
    """The policy's, for GET /v1/drift: by TRL's step."""
    step = getattr(state, "global_step", None)
    return "" if step is None else f"step-{step}"
