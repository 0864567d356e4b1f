"""GET /v1/models: what is served."""

from __future__ import annotations

import math

from fastapi import APIRouter

from stepscore.calibration import Calibration
from stepscore.scoring import ModelInfo
from stepscore_service.http.dependencies import ThePool
from stepscore_service.schemas.score import Calibrated, ModelCard, ModelList, Range

router = APIRouter(tags=["models"])


@router.get("/v1/models", summary="The models that are served")
@router.get("/models", include_in_schema=False)
async def models(pool: ThePool) -> ModelList:
    """The first is the default of requests that name none."""
    return ModelList(data=[_card(info) for info in pool.models])


def _card(info: ModelInfo) -> ModelCard:
    return ModelCard(
        id=info.id,
        family=info.family,
        revision=info.revision,
        reward_range=Range(
            kind=info.reward_range.kind, low=_bound(info.reward_range.low), high=_bound(info.reward_range.high)
        ),
        aggregate=info.aggregate,
        threshold=info.threshold,
        marker=info.marker,
        max_tokens=info.max_tokens,
        max_batch_tokens=info.max_batch_tokens,
        engine=info.engine,
        device=info.device,
        dtype=info.dtype,
        mode=info.mode,
        calibration=None if info.calibration is None else _calibrated(info.calibration),
    )


def _calibrated(calibration: Calibration) -> Calibrated:
    return Calibrated(temperature=calibration.temperature, bias=calibration.bias)


def _bound(value: float) -> float | None:
    return value if math.isfinite(value) else None
