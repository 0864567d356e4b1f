"""POST /search: a policy solves a problem under the guidance of a served model; the search is sent as it happens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import StreamingResponse

from stepscore.errors import StepscoreError
from stepscore.search.methods import search_method
from stepscore.search.searcher import SearchBudget, Searcher, SearchResult
from stepscore.search.tree import SearchNode
from stepscore_service.errors import NoPolicy, TooManyItems, body_of
from stepscore_service.http.dependencies import TheContext, ThePool
from stepscore_service.http.json_body import JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.schemas.search import SearchOutcome, SearchRequest, SearchStep
from stepscore_service.serving.model_pool import ServedModel
from stepscore_service.serving.search import PolicyServer, ServedSearch

router = APIRouter(route_class=JsonRoute, tags=["search"])
PREFIXES = ("", "/v1")

SIZES = ("n", "width", "candidates", "block")
"""Options that say how many texts are in hand at once."""


@router.post("/search", responses=ERRORS, summary="Solve a problem, guided by step rewards")
async def search(
    request: Request, body: Annotated[SearchRequest, Body()], pool: ThePool, context: TheContext
) -> StreamingResponse:
    """Server-sent events: `nodes` (SearchStep) while the search runs, then `result` (SearchOutcome) or `error`."""
    policy: PolicyServer | None = request.app.state.policy
    if policy is None:
        raise NoPolicy("this service has no policy; start it with --policy, for example --policy qwen2.5-coder-0.5b")
    method = search_method(body.method, body.options)
    budget = SearchBudget(tokens=body.budget_tokens, seconds=body.budget_seconds)
    _check_size(body.options, request.app.state.settings.max_candidates)
    served = pool.pick(body.model)
    searcher = policy.searcher(ServedSearch(method, body.aggregate, body.choice, budget, body.seed), served, context)
    return StreamingResponse(
        _events(policy, searcher, body.problem, served),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


def _check_size(options: Mapping[str, object], limit: int) -> None:
    """Raises TooManyItems for a search that is wider than a rerank may be."""
    for name in SIZES:
        size = options.get(name)
        if isinstance(size, int) and size > limit:
            raise TooManyItems(f"{name} is {size}, and {limit} candidates are the most", items=size, limit=limit)


async def _events(policy: PolicyServer, searcher: Searcher, problem: str, served: ServedModel) -> AsyncIterator[str]:
    ids: dict[SearchNode, int] = {}
    with served.in_use():
        try:
            async with aclosing(policy.run(searcher, problem)) as items:
                async for item in items:
                    yield _result(item, served, ids) if isinstance(item, SearchResult) else _nodes(item, ids)
        except StepscoreError as error:
            yield _event("error", body_of(error))


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _id(node: SearchNode, ids: dict[SearchNode, int]) -> int:
    """Ids in the order in which nodes are sent; the root, which is never sent, is 0."""
    return 0 if node.parent is None else ids.setdefault(node, len(ids) + 1)


def _nodes(nodes: list[SearchNode], ids: dict[SearchNode, int]) -> str:
    sent = [
        {
            "id": _id(node, ids),
            "parent": 0 if node.parent is None else _id(node.parent, ids),
            "text": node.text,
            "status": node.status,
            "reason": node.reason,
            "reward": node.rewards[-1] if node.rewards else None,
            "score": node.score,
        }
        for node in nodes
    ]
    return _event("nodes", SearchStep(nodes=sent).model_dump())


def _result(result: SearchResult, served: ServedModel, ids: dict[SearchNode, int]) -> str:
    if result.error is not None:
        return _event("error", body_of(result.error))
    chosen = None if result.choice.chosen is None else result.candidates[result.choice.chosen]
    info = served.info
    outcome = SearchOutcome(
        answer=result.answer,
        solution=result.text,
        score=chosen.score if chosen else None,
        chosen=_id(chosen.node, ids) if chosen else None,
        candidates=[{"id": _id(c.node, ids), "score": c.score, "answer": c.answer} for c in result.candidates],
        stopped=result.stopped,
        reason=result.reason,
        policy_tokens=result.policy_tokens,
        rounds=result.rounds,
        rated=result.rated,
        model=info.id,
        revision=info.revision,
        dtype=info.dtype,
    )
    return _event("result", outcome.model_dump())
