"""Shaped and blended rewards (POST /reward) for the functions of this package, chosen by argument or environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

from stepscore_service.client.errors import ServiceError
from stepscore_service.integrations.connection import OnError, client, lowest_reward, number_of_failure, options
from stepscore_service.schemas.reward import BlendOptions, RewardAnswer, RewardAnswers
from stepscore_service.schemas.score import FailedItem, ShapeName

Rewarded = RewardAnswer | FailedItem


@dataclass(frozen=True, slots=True)
class ShapedReward:
    """What /reward is asked for. shape: None leaves the service's default; blend: None leaves the outcome out."""

    shape: ShapeName | None = None
    reference: float | str | None = None
    blend: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def submit(self, items: Sequence[Mapping[str, Any]], policy_version: str = "") -> Future[RewardAnswers]:
        """One result for each item, in order, later. Raises what the client raises."""
        wanted: dict[str, Any] = {"shape": self.shape or "last", "reference": self.reference, "blend": self.blend}
        wanted |= {"policy_version": policy_version, **self.options}
        return client().submit(lambda each: each.reward(items, **wanted))

    def item(self, problem: str, solution: str, answer: Any) -> dict[str, Any]:
        """answer: used if the outcome is blended in. Raises ValueError if it is missing then, or not one answer."""
        if self.blend is None:
            return {"problem": problem, "solution": solution}
        return {"problem": problem, "solution": solution, "answer": _one_answer(answer)}

    def number(self, result: Rewarded, chosen: OnError) -> float | None:
        """The sum of the shape if one is named, else the reward. Raises as `number_of` of a score."""
        if isinstance(result, RewardAnswer):
            return result.reward if self.shape is None else result.total
        return number_of_failure(result, chosen, self._lowest)

    def _lowest(self, error: ServiceError) -> float:
        """The reward of the lowest score with a wrong answer."""
        lowest, blend = lowest_reward(error), BlendOptions.model_validate(self.blend or {})
        if self.blend is None:
            return lowest
        clipped = lowest if blend.clip is None else min(max(lowest, blend.clip[0]), blend.clip[1])
        blended = blend.process * clipped + blend.outcome * blend.wrong
        return blended if blend.gate is None else min(blended, blend.gate)


def _one_answer(answer: Any) -> str:
    """Raises ValueError for none, and for a list or object, of which the text is not an answer."""
    value = answer.item() if getattr(answer, "shape", None) == () else answer
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError("a blended reward needs the known answer of each sample, and one has none")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"the known answer of a sample is one text or number, not {type(value).__name__}: {value!r}")
    return str(value)


def shaped_reward(
    shape: str | None, blend: Mapping[str, Any] | None, reference: float | str | None = None, *, groups: bool
) -> ShapedReward | None:
    """The arguments, or the environment for what is None; None if neither names a shape or a blend.

    groups: whether all solutions of a problem travel in one request. Raises ValueError for `reference: group` if they
    do not, and for a blend that is not a JSON object.
    """
    shape = shape or os.environ.get("PRM_SHAPE") or None
    reference = reference if reference is not None else os.environ.get("PRM_REFERENCE") or None
    blend = blend if blend is not None else _blend(os.environ.get("PRM_BLEND", ""))
    if shape is None and blend is None:
        return None
    if reference == "group" and not groups:
        raise ValueError("this trainer asks for one sample at a time, so that `group` has no mean; give a number")
    number = reference if reference is None or reference == "group" else float(reference)
    return ShapedReward(cast("ShapeName | None", shape), number, blend, options())


def _blend(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        blend = json.loads(text)
    except ValueError as error:
        raise ValueError(f"PRM_BLEND is not JSON: {error}") from error
    if not isinstance(blend, dict):
        raise ValueError('PRM_BLEND is a JSON object, for example {"gate": 0}')
    return blend
