"""POST /rerank: candidates sorted by score; also what clients of Cohere and Jina send."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from stepscore_service.http.dependencies import TheContext, ThePool
from stepscore_service.http.json_body import Json, JsonRoute, while_connected
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.routes.score import PROBLEM
from stepscore_service.schemas.rerank import RerankAnswer, RerankRequest
from stepscore_service.serving.reranking import rerank as rerank_candidates

router = APIRouter(route_class=JsonRoute, tags=["scoring"])
PREFIXES = ("", "/v1", "/v2")

CANDIDATES = [
    "In May she sold 48 / 2 = 24 clips.\nAltogether 48 + 24 = 72.\nThe answer is 72.",
    "In May she sold 48 / 2 = 24 clips.\nAltogether 48 + 24 = 62.\nThe answer is 62.",
    "She sold 24 clips in May, so 48 + 24 = 72 altogether.\nThe answer is 72.",
]
EXAMPLES = {
    "candidates": {"summary": "sort candidates", "value": {"problem": PROBLEM, "candidates": CANDIDATES}},
    "vote": {
        "summary": "group them by final answer",
        "value": {"problem": PROBLEM, "candidates": CANDIDATES, "vote": "weighted", "top_n": 1},
    },
    "documents": {
        "summary": "in the words of Cohere and Jina",
        "value": {"query": PROBLEM, "documents": CANDIDATES, "top_n": 2, "return_documents": True},
    },
}


@router.post("/rerank", response_model=RerankAnswer, responses=ERRORS, summary="Sort candidates by score")
async def rerank(
    request: Request,
    body: Annotated[RerankRequest, Body(openapi_examples=EXAMPLES)],
    pool: ThePool,
    context: TheContext,
) -> Response:
    """Candidates best first, each with its step rewards; with `vote` also the groups of equal final answers."""
    with pool.use(body.model) as served:
        return Json(await while_connected(request, rerank_candidates(served, body, context)))
