"""POST /reward: what a trainer learns from: one number, and one for each token of the policy."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from stepscore_service.http.dependencies import TheContext, ThePool, TheTokenizers
from stepscore_service.http.json_body import Json, JsonRoute, while_connected
from stepscore_service.http.responses import ERRORS
from stepscore_service.schemas.reward import RewardAnswers, RewardRequest
from stepscore_service.serving.rewarding import reward as reward_solutions

router = APIRouter(route_class=JsonRoute, tags=["scoring"])
PREFIXES = ("", "/v1")

PROBLEM = "Natalia sold 48 clips in April and half as many in May. How many clips did she sell altogether?"
EXAMPLES = {
    "gated": {
        "summary": "differences of step rewards, blended with the outcome; a wrong answer gets at most 0",
        "value": {
            "items": [
                {"problem": PROBLEM, "solution": "In May she sold 48 / 2 = 24.\n\nSo 48 + 24 = 72.", "answer": "72"},
                {"problem": PROBLEM, "solution": "In May she sold 48 / 2 = 24.\n\nSo 48 + 24 = 62.", "answer": "72"},
            ],
            "shape": "delta",
            "blend": {"process": 0.5, "outcome": 1.0, "gate": 0.0},
        },
    },
    "tokens": {
        "summary": "one reward for each token, given the characters that each token holds",
        "value": {
            "items": [{"problem": "What is 2 + 3?", "solution": "2+3=5", "offsets": [[0, 1], [1, 2], [2, 4], [4, 5]]}],
            "shape": "step",
        },
    },
}


@router.post("/reward", response_model=RewardAnswers, responses=ERRORS, summary="Rewards for a trainer")
async def reward(
    request: Request,
    body: Annotated[RewardRequest, Body(openapi_examples=EXAMPLES)],
    pool: ThePool,
    context: TheContext,
    tokenizers: TheTokenizers,
) -> Response:
    """`results`, one for each item and in order: a reward, process and outcome apart, or the error of that item."""
    with pool.use(body.model) as served:
        return Json(await while_connected(request, reward_solutions(served, body, context, tokenizers)))
