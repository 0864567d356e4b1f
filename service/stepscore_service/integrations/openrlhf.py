"""OpenRLHF: `reward_func`, for --reward.remote_url (before 0.10: --remote_rm_url) with the path of a Python file.

# reward.py
from stepscore_service.integrations.openrlhf import reward_func
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from stepscore_service.integrations.connection import client, on_error, options, solution_text
from stepscore_service.integrations.shaped import Rewarded, ShapedReward, shaped_reward
from stepscore_service.schemas.chat import response_after
from stepscore_service.schemas.openrlhf import OpenRlhfAnswer
from stepscore_service.schemas.reward import RewardAnswer


def reward_func(
    queries: Sequence[str],
    prompts: Sequence[str],
    labels: Sequence[Any],
    *,
    shape: str | None = None,
    reference: float | None = None,
    blend: Mapping[str, Any] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """What POST /get_reward answers, with retries under one deadline: rewards, scores, extra_logs.

    shape, blend: of POST /reward, else PRM_SHAPE and PRM_BLEND; the labels are the known answers then.
    Raises ServiceError for a query that cannot be scored, unless PRM_ON_ERROR is `lowest`. One query gives numbers,
    several give lists, as the trainer's versions expect.
    """
    chosen = on_error("raise", ("raise", "lowest"))
    shaped = shaped_reward(shape, blend, reference, groups=False)
    if shaped is not None:
        return _of_samples(*_shape(shaped, queries, prompts, labels))
    body = {"query": list(queries), "prompts": list(prompts)}
    path = f"/get_reward?{urlencode({**options(), 'on_error': chosen})}"
    found = client().post(path, body, OpenRlhfAnswer)
    return _of_samples(found.rewards, found.scores or found.rewards, found.extra_logs)


def _shape(
    shaped: ShapedReward, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]
) -> tuple[list[float], list[float], dict[str, list[float]]]:
    """Rewards, scores for dynamic filtering (the outcomes if they are known), and what is logged.

    Raises ValueError for lists of unequal length.
    """
    chosen = on_error("raise", ("raise", "lowest"))
    if not len(queries) == len(prompts) == len(labels):
        raise ValueError(f"{len(queries)} queries, {len(prompts)} prompts and {len(labels)} labels; give one of each")
    dialogues = [response_after(prompt, query) for prompt, query in zip(prompts, queries, strict=True)]
    texts = [(each.problem, solution_text(each.response)) for each in dialogues]
    items = [shaped.item(*text, label) for text, label in zip(texts, labels, strict=True)]
    results = shaped.submit(items).result().results if items else []
    rewards = [reward for each in results if (reward := shaped.number(each, chosen)) is not None]
    rows = [_log(each, reward) for each, reward in zip(results, rewards, strict=True)]
    logs = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    return rewards, rewards if shaped.blend is None else logs.get("outcome", []), logs


def _log(result: Rewarded, reward: float) -> dict[str, float]:
    """outcome: 1 right, 0 wrong or unreadable, -1 not looked at. scored: 0 for a sample with the lowest reward."""
    if not isinstance(result, RewardAnswer):
        return {"prm_score": reward, "outcome": 0.0, "steps": 0, "scored": 0}
    outcome = -1.0 if result.outcome is None else float(result.outcome.outcome == "right")
    return {"prm_score": result.score, "outcome": outcome, "steps": len(result.steps), "scored": 1}


def _of_samples(rewards: list[float], scores: list[float], logs: Mapping[str, list[float]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"rewards": rewards, "scores": scores, "extra_logs": dict(logs)}
    if len(rewards) != 1:
        return answer
    return {"rewards": rewards[0], "scores": scores[0], "extra_logs": {name: row[0] for name, row in logs.items()}}
