"""POST /tei/rerank: what clients of text-embeddings-inference call, with http://HOST:PORT/tei as their address."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import TypeAdapter

from stepscore_service.batching.encoding import SolutionRequest
from stepscore_service.http.json_body import JsonRoute
from stepscore_service.http.responses import ERRORS
from stepscore_service.http.trainers import TheView
from stepscore_service.schemas.tei import TeiRank, TeiRequest

FORMAT = "tei"
router = APIRouter(route_class=JsonRoute, tags=["text-embeddings-inference"])
PREFIXES = ("/tei",)
RANKS = TypeAdapter(list[TeiRank])


@router.post("/rerank", response_model=list[TeiRank], responses=ERRORS, summary="TEI: texts sorted by score")
async def rerank(body: TeiRequest, view: TheView) -> Response:
    """Best first; ties keep their order."""
    found = await view.score([SolutionRequest(body.query, text) for text in body.texts])
    texts = [{"text": text} if body.return_text else {} for text in body.texts]
    ranks = [TeiRank(index=place, score=number, **texts[place]) for place, number in enumerate(found.numbers())]
    ranks.sort(key=lambda rank: -rank.score)
    return Response(RANKS.dump_json(ranks, exclude_unset=True), media_type="application/json")
