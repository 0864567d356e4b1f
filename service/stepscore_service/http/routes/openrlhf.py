"""POST /get_reward: what OpenRLHF's --reward.remote_url calls."""

from __future__ import annotations

from fastapi import APIRouter, Response

from stepscore_service.http.json_body import Json, JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import Parsed, TheView, View, ViewResults
from stepscore_service.schemas.openrlhf import OpenRlhfAnswer, OpenRlhfRequest
from stepscore_service.schemas.score import ScoreAnswer

FORMAT = "openrlhf"
router = APIRouter(route_class=JsonRoute, tags=["OpenRLHF"])
PREFIXES = ("",)


@router.post("/get_reward", response_model=OpenRlhfAnswer, responses=ERRORS, summary="OpenRLHF: remote reward")
async def get_reward(body: OpenRlhfRequest, view: TheView) -> Response:
    """A reward for each query, and what the trainer logs: of the step rewards, the first error, how many steps."""
    found = await view.score(_items(body, view))
    rewards = found.numbers()
    scores = {"scores": rewards} if found.in_unit_interval else {}
    return Json(OpenRlhfAnswer(rewards=rewards, **scores, extra_logs=_logs(found, rewards)))


def _items(body: OpenRlhfRequest, view: View) -> list[Parsed]:
    if not body.prompts:
        return [view.split(query) for query in body.query]
    return [view.split_after(prompt, query) for prompt, query in zip(body.prompts, body.query, strict=True)]


def _logs(found: ViewResults, rewards: list[float]) -> dict[str, list[float]]:
    rows = [_log(result, reward) for result, reward in zip(found.results, rewards, strict=True)]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _log(result: object, reward: float) -> dict[str, float]:
    """first_error: -1 if there is none. scored: 0 for an item that got the lowest reward instead of its own."""
    if not isinstance(result, ScoreAnswer):
        names = ("prm_min", "prm_mean", "prm_last")
        return {**dict.fromkeys(names, reward), "first_error": 0, "steps": 0, "scored": 0}
    steps = result.rewards
    first = -1 if result.first_error is None else result.first_error
    return {
        "prm_min": min(steps),
        "prm_mean": sum(steps) / len(steps),
        "prm_last": steps[-1],
        "first_error": first,
        "steps": len(steps),
        "scored": 1,
    }
