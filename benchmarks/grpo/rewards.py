"""What each run pays its policy for, and a record of every reward that the trainer received."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.grpo.problems import answer_in
from stepscore_service.integrations.trl import prm_reward, prm_reward_with

Rewards = list[float | None]
BLENDS: dict[str, dict[str, Any] | None] = {
    "process": None,
    "outcome": {"process": 0.0, "unreadable": "wrong"},
    "blend": {"process": 0.5, "gate": 0.0, "unreadable": "wrong"},
}
"""By run: how /reward blends; None is the score alone."""


def reward_function(run: str, record: Path) -> Callable[..., Any]:
    """The run's reward, the only one: TRL leaves a completion out if *all* functions give None, else it takes 0.

    Every answer is appended to `record` as one JSON line with what was asked. The log gets `process`, the score
    that the reward model gives whatever the run pays for, and `right`, the share of right answers as judged here.
    """
    blend = BLENDS[run]
    paid = prm_reward if blend is None else prm_reward_with(blend=blend)

    async def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> Rewards:
        asked = [paid, *([] if blend is None else [prm_reward])]
        answers = await asyncio.gather(*(each(prompts, completions, **columns) for each in asked))
        rewards, scores = answers[0], answers[-1]
        right = [float(answer_in(text_of(c)) == int(a)) for c, a in zip(completions, columns["answer"], strict=True)]
        for name, values in (("process", scores), ("right", right)):
            columns["log_metric"](name, mean(values))
        row = {"step": columns["trainer_state"].global_step, "rewards": rewards, "scores": scores, "right": right}
        row |= {"prompts": list(prompts), "completions": list(completions)}
        with record.open("a") as file:
            file.write(json.dumps(row) + "\n")
        return rewards

    return reward


def text_of(completion: Any) -> str:
    """Of a text or of a conversation."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def mean(values: Sequence[float | None]) -> float:
    """Of those that are numbers; NaN if none is, which TRL leaves out of its log."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")
