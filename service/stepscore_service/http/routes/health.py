"""Probes: is the process alive, and should it get work."""

from __future__ import annotations

from fastapi import APIRouter, Response

from stepscore_service.http.dependencies import ThePool
from stepscore_service.schemas.score import Health, HealthState
from stepscore_service.serving.model_pool import ModelPool

router = APIRouter(tags=["health"])
PREFIXES = ("",)


@router.get("/health/live", summary="The event loop answers, and every model has an engine that works")
async def live(pool: ThePool, response: Response) -> Health:
    if pool.fault() is not None:
        response.status_code = 503
    return _health(pool, "alive" if pool.fault() is None else "dead")


@router.get("/health", include_in_schema=False)
@router.get("/health/ready", summary="Weights are loaded and warm, and the service is not shutting down")
async def ready(pool: ThePool, response: Response) -> Health:
    state: HealthState = "draining" if pool.draining else "ready" if pool.fault() is None else "dead"
    response.status_code = 200 if state == "ready" else 503
    return _health(pool, state)


def _health(pool: ModelPool, state: HealthState) -> Health:
    total, working = pool.engines()
    return Health(state=state, engines=total, engines_working=working)
