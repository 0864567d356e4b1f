"""POST /v1/models/{id}/reload: other weights under the same name."""

from __future__ import annotations

from fastapi import APIRouter, Request

from stepscore_service.http.dependencies import ThePool
from stepscore_service.http.json_body import JsonRoute
from stepscore_service.http.responses import RELOAD_ERRORS
from stepscore_service.schemas.reload import ReloadAnswer, ReloadRequest
from stepscore_service.serving.reload import Reloader

router = APIRouter(route_class=JsonRoute, tags=["models"])
PREFIXES = ("",)


@router.post("/v1/models/{name:path}/reload", responses=RELOAD_ERRORS, summary="Exchange a model's weights")
async def reload(
    request: Request,
    name: str,
    pool: ThePool,
    body: ReloadRequest,
) -> ReloadAnswer:
    """Answers when the new weights serve and the old ones are freed. On an error the old ones keep serving.

    Needs a key with the scope admin, if the service has keys.
    """
    reloader: Reloader = request.app.state.reloader
    old, new = await reloader.reload(pool, name, body.path)
    return ReloadAnswer(model=name, family=new.family, revision=new.revision, previous_revision=old.revision)
