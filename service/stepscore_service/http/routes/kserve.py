"""POST /v2/models/{m}/infer and its health routes: the Open Inference Protocol of KServe and Triton, as JSON."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response

from stepscore.types import SolutionRequest
from stepscore_service.errors import InvalidRequest
from stepscore_service.http.dependencies import ThePool
from stepscore_service.http.json_body import JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import TheView
from stepscore_service.schemas.kserve import (
    InferAnswer,
    InferRequest,
    ModelMetadata,
    OutputTensor,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from stepscore_service.schemas.score import ScoreAnswer
from stepscore_service.version import version

FORMAT = "kserve"
router = APIRouter(route_class=JsonRoute, tags=["KServe, Triton"])
PREFIXES = ("/v2",)
INPUTS = [TensorMetadata(name=name, datatype="BYTES", shape=[-1]) for name in ("problem", "steps", "solution")]
OUTPUTS = [
    TensorMetadata(name="score", datatype="FP32", shape=[-1]),
    TensorMetadata(name="rewards", datatype="FP32", shape=[-1]),
    TensorMetadata(name="steps", datatype="INT32", shape=[-1]),
]


@router.get("", summary="The server")
async def server() -> ServerMetadata:
    return ServerMetadata(version=version())


@router.get("/health/live", summary="The event loop answers")
async def live(pool: ThePool, response: Response) -> ServerLive:
    response.status_code = 200 if pool.fault() is None else 503
    return ServerLive(live=pool.fault() is None)


@router.get("/health/ready", summary="Every model is ready")
async def ready(pool: ThePool, response: Response) -> ServerReady:
    response.status_code = 503 if pool.draining else 200
    return ServerReady(ready=not pool.draining)


@router.get("/models/{name:path}/ready", summary="One model is ready")
async def model_ready(pool: ThePool, name: str) -> dict[str, Any]:
    return {"name": pool.pick(name).info.id, "ready": True}


@router.get("/models/{name:path}", summary="One model")
async def model(pool: ThePool, name: str) -> ModelMetadata:
    info = pool.pick(name).info
    return ModelMetadata(name=info.id, versions=[info.revision], inputs=INPUTS, outputs=OUTPUTS)


@router.post("/models/{name:path}/infer", responses=ERRORS, summary="Rewards of one solution in steps, or of texts")
async def infer(name: str, body: InferRequest, view: TheView) -> InferAnswer:
    if body.model_name not in (None, name):
        raise InvalidRequest(f"the path names the model {name!r} and the body {body.model_name!r}; name one")
    found = await view.score(_solutions(body), name)
    scores = found.numbers()
    steps = [result.rewards if isinstance(result, ScoreAnswer) else [] for result in found.results]
    rewards = [reward for each in steps for reward in each]
    outputs = {
        "score": OutputTensor(name="score", datatype="FP32", shape=[len(scores)], data=scores),
        "rewards": OutputTensor(name="rewards", datatype="FP32", shape=[len(rewards)], data=rewards),
        "steps": OutputTensor(name="steps", datatype="INT32", shape=[len(steps)], data=[len(each) for each in steps]),
    }
    wanted = [each.name for each in body.outputs] if body.outputs else list(outputs)
    return InferAnswer(
        id=body.id or uuid.uuid4().hex,
        model_name=found.info.id,
        model_version=found.info.revision,
        outputs=[outputs[name] for name in wanted],
    )


def _solutions(body: InferRequest) -> list[SolutionRequest]:
    """Raises InvalidRequest if tensors are missing or do not fit together."""
    texts: dict[str, list[str]] = {tensor.name: tensor.data for tensor in body.inputs}
    if set(texts) == {"problem", "steps"} and len(texts["problem"]) == 1:
        return [SolutionRequest(texts["problem"][0], tuple(texts["steps"]))]
    if set(texts) == {"problem", "solution"}:
        return _pairs(texts)
    raise InvalidRequest("send `problem` [1] with `steps` [S], or `problem` [B] or [1] with `solution` [B]")


def _pairs(texts: Mapping[str, Sequence[str]]) -> list[SolutionRequest]:
    problems, solutions = texts["problem"], texts["solution"]
    if len(problems) not in (1, len(solutions)):
        raise InvalidRequest(f"{len(problems)} problems and {len(solutions)} solutions do not fit together")
    repeated = problems if len(problems) == len(solutions) else [*problems] * len(solutions)
    return [SolutionRequest(problem, solution) for problem, solution in zip(repeated, solutions, strict=True)]
