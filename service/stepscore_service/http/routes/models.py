"""GET /v1/models: what is served."""

from __future__ import annotations

from fastapi import APIRouter

from stepscore_service.http.dependencies import ThePool
from stepscore_service.schemas.score import ModelCard, ModelList

router = APIRouter(tags=["models"])
PREFIXES = ("",)


@router.get("/v1/models", summary="The models that are served")
@router.get("/models", include_in_schema=False)
async def models(pool: ThePool) -> ModelList:
    """The first is the default of requests that name none."""
    return ModelList(data=[ModelCard.model_validate(info.as_dict()) for info in pool.models])
