"""TRL: `prm_reward`, a reward function of GRPOTrainer and RLOOTrainer.

GRPOTrainer(reward_funcs=prm_reward, …)
trl grpo --reward_funcs stepscore_service.integrations.trl.prm_reward …
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stepscore_service.integrations.connection import client, item, number_of, on_error, options


async def prm_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    log_metric: Callable[[str, float], None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """One score for each completion, text or conversation. All of them travel together.

    A completion that cannot be scored gets None, which TRL leaves out (PRM_ON_ERROR=skip, the default).
    Raises ServiceError or httpx.TransportError if the service fails beyond all retries, ValueError for lists of
    unequal length.
    """
    chosen = on_error("skip", ("raise", "lowest", "skip"))
    if len(prompts) != len(completions):
        raise ValueError(f"{len(prompts)} prompts and {len(completions)} completions; give one prompt a completion")
    items = [item(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
    found = await asyncio.wrap_future(client().submit(lambda each: each.score_items(items, progress=None, **options())))
    # Another thread, because the lowest reward is asked of the service.
    scores = await asyncio.to_thread(lambda: [number_of(result, chosen) for result in found.results])
    if log_metric is not None:
        log_metric("prm/unscored", sum(score is None for score in scores) / max(1, len(scores)))
    return scores
