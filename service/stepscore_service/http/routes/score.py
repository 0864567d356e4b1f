"""POST /score: one reward per step, for one solution or for many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from stepscore.errors import StepscoreError, UnknownStep
from stepscore_service.batching.protocols import RequestContext
from stepscore_service.errors import body_of
from stepscore_service.http.dependencies import TheContext, ThePool, TheTokenizers
from stepscore_service.http.json_body import Json, JsonRoute, while_connected
from stepscore_service.http.responses import ERRORS
from stepscore_service.schemas.score import (
    ErrorBody,
    FailedItem,
    Include,
    ScoreAnswer,
    ScoreAnswers,
    ScoreItem,
    ScoreRequest,
)
from stepscore_service.serving.model_pool import ServedModel
from stepscore_service.serving.rewarding import solution_of, with_token_rewards
from stepscore_service.serving.scoring import ScoreResult, resolve_options
from stepscore_service.serving.scoring import score as score_solutions
from stepscore_service.serving.tokenizers import PolicyTokenizers

router = APIRouter(route_class=JsonRoute, tags=["scoring"])
PREFIXES = ("", "/v1")

PROBLEM = "Natalia sold 48 clips in April and half as many in May. How many clips did she sell altogether?"
PER_STEP = ("rewards", "logits", "rationales")
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
        "summary": "many solutions; the second has no step and gets its own error",
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
    body: Annotated[ScoreRequest, Body(openapi_examples=EXAMPLES)],
    pool: ThePool,
    context: TheContext,
    tokenizers: TheTokenizers,
) -> Response:
    """Rewards for one solution, or `results` for `items`: each an answer or an error, in order."""
    items = [body.single()] if body.items is None else body.items
    with pool.use(body.model) as served:
        work = _score(served, body, items, context, tokenizers)
        results = await while_connected(request, work)
    results = [_from_step(result, item.from_step) for result, item in zip(results, items, strict=True)]
    if body.items is None:
        return Json(_only(results[0]))
    info = served.info
    return Json(
        ScoreAnswers(
            model=info.id,
            revision=info.revision,
            dtype=info.dtype,
            results=[_with_index(index, result) for index, result in enumerate(results)],
        )
    )


async def _score(
    served: ServedModel,
    body: ScoreRequest,
    items: Sequence[ScoreItem],
    context: RequestContext,
    tokenizers: PolicyTokenizers,
) -> list[ScoreResult]:
    wanted: list[Include] = ["spans", *body.include] if "token_rewards" in body.include else body.include
    options = resolve_options(served.info, body.aggregate, body.threshold, wanted)
    tokenizer = tokenizers.pick(body.tokenizer)
    results = await score_solutions(served, [solution_of(item) for item in items], context, options)
    if "token_rewards" not in body.include:
        return results
    return await asyncio.to_thread(with_token_rewards, items, results, body, tokenizer)


def _from_step(result: ScoreResult, first: int) -> ScoreResult:
    """What is said of each step, from that one on; spans, score and indices stay those of the whole solution.

    From the end on there is nothing yet to say; a step after that is an error.
    """
    if isinstance(result, StepscoreError) or not first:
        return result
    steps = len(result.rewards)
    if first > steps:
        message = f"`from_step` is {first}, and the solution has {steps} steps; send at most {steps}"
        return UnknownStep(message, from_step=first, steps=steps)
    later: dict[str, Any] = {name: getattr(result, name)[first:] for name in PER_STEP if getattr(result, name)}
    if result.extras:
        later["extras"] = {name: values[first:] for name, values in result.extras.items()}
    return result.model_copy(update={**later, "from_step": first})


def _with_index(index: int, result: ScoreResult) -> ScoreAnswer | FailedItem:
    if isinstance(result, StepscoreError):
        return FailedItem(index=index, error=ErrorBody(**body_of(result)))
    return result.model_copy(update={"index": index})


def _only(result: ScoreResult) -> ScoreAnswer:
    if isinstance(result, StepscoreError):
        raise result
    return result
