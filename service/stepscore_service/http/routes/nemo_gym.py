"""POST /verify (and /seed_session): a resources server of NeMo-Gym."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter

from stepscore_service.http.json_body import JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import TheView
from stepscore_service.schemas.chat import Dialogue, messages_of, problem_of_messages
from stepscore_service.schemas.nemo_gym import VerifyAnswer, VerifyRequest
from stepscore_service.schemas.score import ScoreAnswer

FORMAT = "nemo_gym"
router = APIRouter(route_class=JsonRoute, tags=["NeMo-Gym"])
PREFIXES = ("",)


@router.post("/seed_session", summary="NeMo-Gym: nothing to prepare")
async def seed_session() -> dict[str, Any]:
    return {}


@router.post("/verify", responses=ERRORS, summary="NeMo-Gym: the reward of a response")
async def verify(body: VerifyRequest, view: TheView) -> VerifyAnswer:
    """The messages of the response are the solution; its reasoning is not scored."""
    asked = body.responses_create_params.input
    problem = asked if isinstance(asked, str) else problem_of_messages(messages_of(asked))
    found = await view.score([Dialogue(problem, _text_of(body.response.output))])
    (reward,) = found.numbers()
    (result,) = found.results
    components = dict(result.aggregates) if isinstance(result, ScoreAnswer) else {}
    return VerifyAnswer(**body.model_dump(), reward=reward, reward_components=components)


def _text_of(output: Sequence[Mapping[str, Any]]) -> str:
    messages = [each for each in output if each.get("type", "message") == "message"]
    return "\n\n".join(each.content for each in messages_of(messages))
