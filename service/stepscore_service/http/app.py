"""The application: routes, error handlers and middleware over the models of a ModelPool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from stepscore.scoring import Scoring
from stepscore_service.http import error_handlers
from stepscore_service.http.middleware import AccessLog
from stepscore_service.http.routes import docs, health, metrics, models, page, reload, rerank, score
from stepscore_service.serving.metrics import Metrics
from stepscore_service.serving.model_pool import ModelPool, open_scorers
from stepscore_service.serving.reload import Reloader
from stepscore_service.settings import Settings
from stepscore_service.version import version

DESCRIPTION = """Step rewards of process reward models. `POST /score` rewards each step of a solution, `POST /rerank`
sorts candidates. Every error is `{"code", "message", "detail"}`; what cannot be scored is an error, never a 0.
"""


def create_app(settings: Settings, scorers: Mapping[str, Scoring] | None = None) -> FastAPI:
    """The ASGI application. It serves as soon as its lifespan has started; it closes the scorers at the end.

    scorers: models that are open and warm already; without them, the lifespan opens those of the settings.
    """
    measured = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = scorers if scorers is not None else await asyncio.to_thread(open_scorers, settings)
        app.state.pool = pool = ModelPool(opened, settings, measured)
        app.state.reloader = Reloader(settings, measured)
        yield
        await pool.drain(settings.drain_seconds)
        await pool.close()

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
    app.state.metrics = measured
    app.add_middleware(AccessLog, metrics=measured)
    error_handlers.install(app)
    _add_routes(app)
    return app


def _add_routes(app: FastAPI) -> None:
    """Every route under its plain path; those of the service's own API also under /v1, those of rerank under /v2."""
    for module in (score, rerank, models, reload, health, metrics, page, docs):
        app.include_router(module.router)
    for module in (score, rerank):
        app.include_router(module.router, prefix="/v1", include_in_schema=False)
    app.include_router(rerank.router, prefix="/v2", include_in_schema=False)
    docs.mount_assets(app)
