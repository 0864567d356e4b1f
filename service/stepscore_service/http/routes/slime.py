"""POST /rm: what the --rm-url of slime and miles calls."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from starlette.responses import JSONResponse

from stepscore_service.http.json_body import Json, JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import TheView
from stepscore_service.schemas.score import ScoreAnswer
from stepscore_service.schemas.slime import SlimeAnswer, SlimeRequest

FORMAT = "slime"
router = APIRouter(route_class=JsonRoute, tags=["slime, miles"])
PREFIXES = ("",)


@router.post("/rm", response_model=float | SlimeAnswer, responses=ERRORS, summary="slime, miles: remote reward")
async def rm(
    body: SlimeRequest, view: TheView, format: Annotated[Literal["number", "dict"], Query()] = "number"
) -> Response:
    """The whole answer is the sample's reward: a number, or with ?format=dict an object for --reward-key score."""
    found = await view.score([view.join(body.prompt, body.response)])
    (score,) = found.numbers()
    if format == "number":
        return JSONResponse(score)
    (result,) = found.results
    if isinstance(result, ScoreAnswer):
        return Json(SlimeAnswer(score=score, steps=result.rewards, first_error=result.first_error, scored=True))
    return Json(SlimeAnswer(score=score, steps=[], first_error=None, scored=False))
