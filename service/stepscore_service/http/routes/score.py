"""POST /score: one reward per step, for one solution or for many."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from stepscore.errors import StepscoreError
from stepscore_service.http.dependencies import TheCatalogue, TheMetrics, TheTerms
from stepscore_service.http.json_body import Json, JsonRoute, while_connected
from stepscore_service.http.responses import ERRORS
from stepscore_service.schemas.score import FailedItem, ScoreAnswer, ScoreAnswers, ScoreRequest
from stepscore_service.serving.scoring import placed, score_items, wanted

router = APIRouter(route_class=JsonRoute, tags=["scoring"])

PROBLEM = "Natalia sold 48 clips in April and half as many in May. How many clips did she sell altogether?"
EXAMPLES = {
    "steps": {
        "summary": "one solution, in steps",
        "value": {"problem": PROBLEM, "steps": ["In May she sold 48 / 2 = 24 clips.", "Altogether 48 + 24 = 72."]},
    },
    "text": {
        "summary": "one solution as text",
        "value": {
            "problem": PROBLEM,
            "solution": "In May she sold 48 / 2 = 24 clips.\nAltogether 48 + 24 = 62.",
            "split": "lines",
            "aggregate": "min",
            "include": ["logits"],
        },
    },
    "items": {
        "summary": "many solutions; the second has no step and gets an error of its own",
        "value": {
            "items": [
                {"problem": PROBLEM, "steps": ["In May she sold 48 / 2 = 24 clips.", "Altogether 48 + 24 = 72."]},
                {"problem": PROBLEM, "steps": []},
            ]
        },
    },
}


@router.post("/score", response_model=ScoreAnswer | ScoreAnswers, responses=ERRORS, summary="Reward each step")
async def score(
    request: Request,
    asked: Annotated[ScoreRequest, Body(openapi_examples=EXAMPLES)],
    catalogue: TheCatalogue,
    metrics: TheMetrics,
    terms: TheTerms,
) -> Response:
    """Rewards for one solution, or `results` for `items`: each an answer or an error, in order."""
    items = [asked.single()] if asked.items is None else asked.items
    with catalogue.use(asked.model) as served:
        want = wanted(served.info, asked.aggregate, asked.threshold, asked.include)
        results = await while_connected(request, score_items(served, items, want, terms))
    if asked.items is None:
        return Json(_only(results[0]))
    found = placed(results)
    for failed in (each for each in found if isinstance(each, FailedItem)):
        metrics.errors.labels(failed.error.code).inc()
    return Json(ScoreAnswers(model=served.info.id, revision=served.info.revision, results=found))


def _only(result: ScoreAnswer | StepscoreError) -> ScoreAnswer:
    if isinstance(result, StepscoreError):
        raise result
    return result
