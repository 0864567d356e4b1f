"""POST /classify and /pooling as vLLM answers, POST /v1/embeddings as SGLang does: verl's built-in reward model."""

from __future__ import annotations

import base64
import struct
import time
import uuid

from fastapi import APIRouter

from stepscore.types import SolutionRequest
from stepscore_service.errors import InvalidChat, InvalidRequest
from stepscore_service.http.json_body import JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import Parsed, TheView, View, ViewResults
from stepscore_service.schemas.chat import Dialogue, messages_of, problem_of_messages, steps_at_markers
from stepscore_service.schemas.rerank import Usage
from stepscore_service.schemas.vllm import (
    ClassifiedItem,
    ClassifyAnswer,
    EmbeddedItem,
    EmbeddingsAnswer,
    EmbeddingsRequest,
    EngineRequest,
    PooledItem,
    PoolingAnswer,
    PoolingRequest,
)

FORMAT = "vllm"
router = APIRouter(route_class=JsonRoute, tags=["verl, vLLM, SGLang"])
PREFIXES = ("",)


@router.post("/classify", responses=ERRORS, summary="verl with vLLM: one number for each text")
async def classify(body: EngineRequest, view: TheView) -> ClassifyAnswer:
    found = await view.score(_items(body, view), body.model)
    data = [ClassifiedItem(index=place, probs=[number]) for place, number in enumerate(found.numbers())]
    return ClassifyAnswer(id=_id("classify"), created=_now(), model=found.info.id, data=data, usage=_usage(found))


@router.post("/v1/embeddings", responses=ERRORS, summary="verl with SGLang: one number for each text")
async def embeddings(body: EmbeddingsRequest, view: TheView) -> EmbeddingsAnswer:
    """The `embedding` of a text is its one number, as an engine answers for a reward model."""
    found = await view.score(_items(body, view), body.model)
    numbers = found.numbers()
    written = [_base64(each) if body.encoding_format == "base64" else [each] for each in numbers]
    data = [EmbeddedItem(index=place, embedding=each) for place, each in enumerate(written)]
    return EmbeddingsAnswer(model=found.info.id, data=data, usage=_usage(found))


@router.post("/pooling", responses=ERRORS, summary="vLLM: the rewards of each step")
async def pooling(body: PoolingRequest, view: TheView) -> PoolingAnswer:
    """In a text with <extra_0> a step ends at each of them, and an empty step is an error; other texts are split."""
    if view.options.aggregate is not None or view.options.on_error != "raise":
        raise InvalidRequest("the answer has a row for each step, and no place for `aggregate` and `on_error=lowest`")
    items = [_parse_marked(each, view) for each in _items(body, view)]
    found = await view.score(items, body.model)
    pairs = found.info.reward_range.kind == "probability"
    data = [
        PooledItem(index=place, data=[[1 - reward, reward] if pairs else [reward] for reward in answer.rewards])
        for place, answer in enumerate(found.answers())
    ]
    return PoolingAnswer(id=_id("pool"), created=_now(), model=found.info.id, data=data, usage=_usage(found))


def _items(body: EngineRequest, view: View) -> list[Parsed]:
    if body.messages is None:
        return [view.split(text) for text in body.texts]
    messages = messages_of(body.messages)
    if not messages or messages[-1].role != "assistant":
        return [InvalidChat("the last message must be the assistant's: the solution to score")]
    return [Dialogue(problem_of_messages(messages[:-1]), messages[-1].content)]


def _parse_marked(item: Parsed, view: View) -> Parsed:
    if not isinstance(item, Dialogue):
        return item
    steps = steps_at_markers(view.scored_text(item))
    return SolutionRequest(item.problem, steps) if steps else item


def _base64(number: float) -> str:
    return base64.b64encode(struct.pack("<f", number)).decode()


def _usage(found: ViewResults) -> Usage:
    return Usage(prompt_tokens=found.tokens, total_tokens=found.tokens)


def _id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


def _now() -> int:
    return int(time.time())
