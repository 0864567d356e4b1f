"""What the application gives to its routes."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import Depends, Header, Request

from stepscore_service.batching.protocols import RequestContext, RequestFacts
from stepscore_service.http.request_state import CALLER, FACTS
from stepscore_service.schemas.score import Milliseconds
from stepscore_service.serving.keys import ApiKey
from stepscore_service.serving.metrics import Metrics
from stepscore_service.serving.model_pool import ModelPool
from stepscore_service.serving.tokenizers import PolicyTokenizers


async def _pool(request: Request) -> ModelPool:
    found: ModelPool = request.app.state.pool
    return found


async def _metrics(request: Request) -> Metrics:
    found: Metrics = request.app.state.metrics
    return found


async def _tokenizers(request: Request) -> PolicyTokenizers:
    found: PolicyTokenizers = request.app.state.tokenizers
    return found


async def _context(
    request: Request,
    x_request_timeout_ms: Annotated[
        Milliseconds | None,
        Header(description="after this time the answer is 504, and nothing more is computed for the request"),
    ] = None,
    x_tenant: Annotated[
        str,
        Header(max_length=256, description="computed prefixes are reused only among requests of one tenant"),
    ] = "",
    x_priority: Annotated[
        Literal["interactive", "bulk"],
        Header(description="bulk work is computed when nothing interactive waits; a key may be bulk for good"),
    ] = "interactive",
    x_policy_version: Annotated[
        str,
        Header(max_length=64, description="which version of the policy wrote the solutions (GET /v1/drift)"),
    ] = "",
) -> RequestContext:
    until = None if x_request_timeout_ms is None else time.monotonic() + x_request_timeout_ms / 1000
    facts = request.scope["state"].setdefault(FACTS, RequestFacts())
    bulk = x_priority == "bulk"
    caller: ApiKey | None = request.scope["state"].get(CALLER)
    if caller is None:
        return RequestContext(until, cache_salt=x_tenant, bulk=bulk, policy_version=x_policy_version, facts=facts)
    return RequestContext(
        until,
        cache_salt=f"{caller.cache_salt}/{x_tenant}",
        tenant=caller.name,
        tokens_per_minute=caller.tokens_per_minute,
        bulk=bulk or caller.priority == "bulk",
        policy_version=x_policy_version,
        facts=facts,
    )


ThePool = Annotated[ModelPool, Depends(_pool)]
TheTokenizers = Annotated[PolicyTokenizers, Depends(_tokenizers)]
TheMetrics = Annotated[Metrics, Depends(_metrics)]
TheContext = Annotated[RequestContext, Depends(_context)]
