"""POST /v1/score/evaluation: what LLaMA-Factory's PPO calls with reward_model_type: api."""

from __future__ import annotations

import uuid

from fastapi import APIRouter

from stepscore_service.http.json_body import JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import TheView
from stepscore_service.schemas.llama_factory import LlamaFactoryAnswer, LlamaFactoryRequest

FORMAT = "llama_factory"
router = APIRouter(route_class=JsonRoute, tags=["LLaMA-Factory"])
PREFIXES = ("",)


@router.post("/v1/score/evaluation", responses=ERRORS, summary="LLaMA-Factory: reward model over HTTP")
async def evaluation(body: LlamaFactoryRequest, view: TheView) -> LlamaFactoryAnswer:
    """A number for each text."""
    found = await view.score([view.split(text) for text in body.messages])
    return LlamaFactoryAnswer(id=f"scoreeval-{uuid.uuid4().hex}", model=found.info.id, scores=found.numbers())
