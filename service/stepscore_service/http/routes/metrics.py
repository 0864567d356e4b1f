"""GET /metrics, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from stepscore_service.http.dependencies import TheMetrics

router = APIRouter(tags=["health"])
PREFIXES = ("",)


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(measured: TheMetrics) -> Response:
    return Response(measured.text(), media_type=CONTENT_TYPE_LATEST)
