"""GET /, /dashboard and /solve: pages for people, whose script and style come from this service alone."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter()
PREFIXES = ("",)
NO_POLICY = 'id="no-policy" role="note"'
FOLDER = files("stepscore_service.http").joinpath("page")


@router.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    return HTMLResponse(_html("index.html"))


@router.get("/dashboard", include_in_schema=False)
async def dashboard() -> HTMLResponse:
    return HTMLResponse(_html("dashboard.html"))


@router.get("/solve", include_in_schema=False)
async def solve(request: Request) -> HTMLResponse:
    """Without a policy the page says how to start the service with one."""
    html = _html("solve.html")
    if request.app.state.policy is None:
        html = html.replace(f"{NO_POLICY} hidden", NO_POLICY)
    return HTMLResponse(html)


def mount_assets(app: FastAPI) -> None:
    """Script and style of the pages."""
    app.mount("/page", StaticFiles(directory=str(FOLDER)))


@cache
def _html(name: str) -> str:
    return FOLDER.joinpath(name).read_text(encoding="utf-8")
