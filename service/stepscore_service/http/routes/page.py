"""GET /: a page on which a person pastes a problem and a solution and sees the steps coloured by reward."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()
PREFIXES = ("",)


@router.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    return HTMLResponse(_html())


@cache
def _html() -> str:
    return files("stepscore_service").joinpath("http/page/index.html").read_text(encoding="utf-8")
