"""POST /roll/submit and GET /roll/result: ROLL's remote reward system."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from stepscore.errors import StepscoreError
from stepscore_service.errors import InvalidRequest
from stepscore_service.http.json_body import Json, JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import TheView, ViewResults
from stepscore_service.schemas.roll import RollQuery, RollResult, RollSubmit, RollTicket
from stepscore_service.schemas.score import ScoreAnswer
from stepscore_service.serving.submitted import Submissions, SubmittedWork

FORMAT = "roll"
router = APIRouter(route_class=JsonRoute, tags=["ROLL"])
PREFIXES = ("/roll",)


@router.post("/submit", responses=ERRORS, summary="ROLL: submit a sample")
async def submit(body: RollSubmit, view: TheView) -> RollTicket:
    """Its reward can be fetched until the sample's own timeout has passed."""
    deadline = time.monotonic() + body.timeout
    kept: Submissions[ViewResults] = view.request.app.state.submissions
    until = replace(view, context=replace(view.context, deadline=deadline))
    sample = view.join(body.prompt, body.response)
    key = kept.submit(until.score_unwatched([sample]), body.timeout)
    return RollTicket(reward_request_id=key)


@router.get("/result", response_model=RollResult, responses=ERRORS, summary="ROLL: fetch a reward")
async def result(request: Request, body: RollQuery) -> Response:
    """errcode 1 while it is computed; 2 and no reward if the sample cannot be scored."""
    kept: Submissions[ViewResults] = request.app.state.submissions
    work = kept.fetch(body.reward_request_id)
    if work is None:
        raise InvalidRequest("no sample of that id is kept: it was never submitted, or its timeout has passed")
    if not work.task.done():
        return Json(RollResult(errcode=1, start_time=work.started))
    return Json(RollResult(**_outcome(work), start_time=work.started, end_time=work.ended))


def _outcome(work: SubmittedWork[ViewResults]) -> dict[str, Any]:
    try:
        found = work.task.result()
        (score,) = found.numbers()
    except StepscoreError as error:
        return {"errcode": 2, "errmsg": f"{error.code}: {error.message}"}
    (scored,) = found.results
    dimensions = scored.aggregates if isinstance(scored, ScoreAnswer) else {}
    return {"errcode": 0, "reward_score": score, "dimention_reward_score": dimensions}
