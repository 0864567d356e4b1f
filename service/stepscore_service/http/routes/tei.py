"""POST /tei/rerank: what clients of text-embeddings-inference call, with http://HOST:PORT/tei as their address."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from stepscore.types import SolutionRequest
from stepscore_service.http.dependencies import ThePool
from stepscore_service.http.json_body import JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import TheView
from stepscore_service.schemas.tei import TeiInfo, TeiRank, TeiRequest
from stepscore_service.settings import Settings
from stepscore_service.version import version

FORMAT = "tei"
router = APIRouter(route_class=JsonRoute, tags=["text-embeddings-inference"])
PREFIXES = ("/tei",)
RANKS = TypeAdapter(list[TeiRank])


@router.get("/info", summary="TEI: the default model")
async def info(request: Request, pool: ThePool) -> TeiInfo:
    settings: Settings = request.app.state.settings
    model = pool.pick(None).info
    return TeiInfo(
        model_id=model.id,
        model_sha=model.revision,
        model_dtype=model.dtype,
        max_concurrent_requests=settings.max_connections,
        max_input_length=model.max_tokens,
        max_batch_tokens=model.max_batch_tokens,
        max_client_batch_size=settings.max_candidates,
        version=version(),
    )


@router.get("/health", summary="TEI: the service is ready")
async def health(pool: ThePool, response: Response) -> None:
    response.status_code = 503 if pool.draining else 200


@router.post("/rerank", response_model=list[TeiRank], responses=ERRORS, summary="TEI: texts sorted by score")
async def rerank(body: TeiRequest, view: TheView) -> Response:
    """Best first; ties keep their order."""
    found = await view.score([SolutionRequest(body.query, text) for text in body.texts])
    texts = [{"text": text} if body.return_text else {} for text in body.texts]
    ranks = [TeiRank(index=place, score=number, **texts[place]) for place, number in enumerate(found.numbers())]
    ranks.sort(key=lambda rank: -rank.score)
    return Response(RANKS.dump_json(ranks, exclude_unset=True), media_type="application/json")
