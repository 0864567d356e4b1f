"""OpenRLHF: `reward_func`, for --reward.remote_url (before 0.10: --remote_rm_url) with the path of a Python file.

# reward.py
from stepscore_service.integrations.openrlhf import reward_func
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from stepscore_service.integrations.connection import client, on_error, options
from stepscore_service.schemas.openrlhf import OpenRlhfAnswer


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **others: Any) -> dict[str, Any]:
    """What POST /get_reward answers, with retries under one deadline: rewards, scores, extra_logs.

    Raises ServiceError for a query that cannot be scored, unless PRM_ON_ERROR is `lowest`. One query gives numbers,
    several give lists, as the trainer's versions expect.
    """
    chosen = on_error("raise", ("raise", "lowest"))
    body = {"query": list(queries), "prompts": list(prompts)}
    path = f"/get_reward?{urlencode({**options(), 'on_error': chosen})}"
    found = client().post(path, body, OpenRlhfAnswer)
    scores = found.scores or found.rewards
    answer = {"rewards": found.rewards, "scores": scores}
    if len(queries) == 1:
        return {name: row[0] for name, row in answer.items()} | {"extra_logs": _first(found.extra_logs)}
    return {**answer, "extra_logs": found.extra_logs}


def _first(logs: dict[str, list[float]]) -> dict[str, float]:
    return {name: row[0] for name, row in logs.items()}
