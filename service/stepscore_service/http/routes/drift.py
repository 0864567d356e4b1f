"""GET /v1/drift: whether the scores of a policy version still look like those of the first one."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from stepscore_service.http.dependencies import TheContext, ThePool
from stepscore_service.schemas.drift import DriftAnswer, DriftOfModel, DriftOfVersion
from stepscore_service.serving.drift import VersionDrift
from stepscore_service.serving.model_pool import ServedModel

router = APIRouter(tags=["models"])
PREFIXES = ("/v1",)


@router.get("/drift", summary="Scores by policy version")
async def drift(pool: ThePool, context: TheContext) -> DriftAnswer:
    """Of the caller's own requests with the header X-Policy-Version: scores against those of the first version."""
    return DriftAnswer(data=[await asyncio.to_thread(_of_model, served, context.tenant) for served in pool.served])


def _of_model(served: ServedModel, tenant: str) -> DriftOfModel:
    report = served.metrics.drift.of(tenant).report()
    return DriftOfModel(
        model=served.info.id,
        revision=served.info.revision,
        aggregate=served.info.aggregate,
        reference_version=report.reference_version,
        reference_scores=report.reference_scores,
        edges=list(report.edges),
        reference_histogram=list(report.reference_histogram),
        versions=list(map(_of_version, report.versions)),
    )


def _of_version(found: VersionDrift) -> DriftOfVersion:
    numbers = found.numbers
    return DriftOfVersion(
        version=found.version,
        scores=found.scores,
        mean=found.mean,
        histogram=list(found.histogram),
        psi=numbers and numbers.psi,
        ks=numbers and numbers.ks,
        ks_p_value=numbers and numbers.ks_p_value,
    )
