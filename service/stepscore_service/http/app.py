"""The application: routes, error handlers and middleware over the models of a ModelPool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from stepscore.scoring.protocol import Scoring
from stepscore_service.http import error_handlers
from stepscore_service.http.auth import Authentication
from stepscore_service.http.credentials import Credentials
from stepscore_service.http.idempotency import AnswerStore
from stepscore_service.http.middleware import AccessLog, CloseWhileDraining, HeadAsGet, Refusals, SlashAtTheEnd
from stepscore_service.http.routes import (
    docs,
    drift,
    health,
    kserve,
    llama_factory,
    metrics,
    models,
    nemo_gym,
    openrlhf,
    page,
    reload,
    rerank,
    reward,
    roll,
    score,
    search,
    slime,
    tei,
    vllm,
)
from stepscore_service.http.tracing import Traces
from stepscore_service.http.trainers import ViewResults
from stepscore_service.serving.keys import KeyRing
from stepscore_service.serving.metrics import Metrics
from stepscore_service.serving.model_pool import ModelPool, open_scorers
from stepscore_service.serving.reload import Reloader
from stepscore_service.serving.search import PolicyServer
from stepscore_service.serving.submitted import Submissions
from stepscore_service.serving.tokenizers import PolicyTokenizers
from stepscore_service.settings import Settings
from stepscore_service.version import version

DESCRIPTION = """Step rewards of process reward models. `POST /score` rewards each step of a solution, `POST /rerank`
sorts candidates; `/` is a page for people, `/dashboard` shows live metrics. Errors are `{"code", "message", "detail"}`;
what cannot be scored is an error, never a 0.
"""


ROUTES: Sequence[ModuleType] = (
    score,
    rerank,
    reward,
    search,
    models,
    drift,
    reload,
    health,
    metrics,
    page,
    docs,
    openrlhf,
    slime,
    llama_factory,
    vllm,
    nemo_gym,
    tei,
    kserve,
    roll,
)
"""Each a module with a `router` and the `PREFIXES` of its paths; a view for a trainer has a `FORMAT`."""


def create_app(
    settings: Settings,
    scorers: Mapping[str, Scoring] | None = None,
    routes: Sequence[ModuleType] = ROUTES,
    policy: PolicyServer | None = None,
    tokenizers: PolicyTokenizers | None = None,
    keys: KeyRing | None = None,
) -> FastAPI:
    """The ASGI application. It serves as soon as its lifespan has started; it closes the scorers at the end.

    scorers, policy: models that are open already; without them, the lifespan opens those of the settings.
    tokenizers, keys: those that are open already; None opens those of the settings here.
    Raises InvalidOption if the key file cannot be used, and CheckpointError for a tokenizer.
    """
    measured = Metrics()
    traces = Traces(settings.otlp_endpoint) if settings.otlp_endpoint else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = scorers if scorers is not None else await asyncio.to_thread(open_scorers, settings)
        app.state.pool = pool = ModelPool(opened, settings, measured)
        app.state.reloader = Reloader(settings, measured)
        app.state.policy = writer = policy or await asyncio.to_thread(PolicyServer.open, settings)
        yield
        await pool.drain(settings.drain_seconds)
        await pool.close()
        if writer is not None:
            writer.close()
        if traces is not None:
            await asyncio.to_thread(traces.close)

    app = FastAPI(
        title="Stepscore",
        version=version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        root_path=settings.root_path,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.tokenizers = tokenizers or PolicyTokenizers.open(settings.tokenizers)
    app.state.answers = AnswerStore(settings.idempotency_seconds, settings.idempotency_bytes)
    app.state.metrics = measured
    _add_middleware(app, settings, keys or KeyRing(settings), measured, traces)
    error_handlers.install(app)
    app.state.submissions = Submissions[ViewResults](settings.max_items)
    _add_routes(app, [each for each in routes if getattr(each, "FORMAT", None) in (None, *settings.formats)])
    return app


def _add_middleware(app: FastAPI, settings: Settings, keys: KeyRing, measured: Metrics, traces: Traces | None) -> None:
    """The last one sees a request first."""
    app.add_middleware(HeadAsGet)
    app.add_middleware(Authentication, keys=keys, metrics=measured, admin_port=settings.admin_port)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    app.add_middleware(Refusals, metrics=measured, max_body_bytes=settings.max_body_bytes)
    if not settings.ray:  # there connections end at a proxy
        app.add_middleware(CloseWhileDraining)
    app.add_middleware(AccessLog, metrics=measured, traces=traces, sends_id=not settings.ray)
    app.add_middleware(SlashAtTheEnd)
    app.add_middleware(Credentials)


def _add_routes(app: FastAPI, routes: Sequence[ModuleType]) -> None:
    """Every route under each of its prefixes; the documentation shows the first."""
    for route in routes:
        for prefix in route.PREFIXES:
            app.include_router(route.router, prefix=prefix, include_in_schema=prefix == route.PREFIXES[0])
    docs.mount_assets(app)
    page.mount_assets(app)
