"""Probes: is the process alive, and should it get work."""

from __future__ import annotations

from fastapi import APIRouter, Response

from stepscore_service.http.dependencies import ThePool
from stepscore_service.schemas.score import Health

router = APIRouter(tags=["health"])
PREFIXES = ("",)


@router.get("/health/live", summary="The event loop answers")
async def live() -> Health:
    return Health(state="alive")


@router.get("/health", include_in_schema=False)
@router.get("/health/ready", summary="Weights are loaded and warm, and the service is not shutting down")
async def ready(pool: ThePool, response: Response) -> Health:
    if pool.draining:
        response.status_code = 503
    return Health(state="draining" if pool.draining else "ready")
