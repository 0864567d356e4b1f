"""Every exception of a request becomes an answer in the one shape of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from stepscore.errors import StepscoreError, UnknownModel
from stepscore_service.errors import HTTP_CODES, InvalidRequest, body_of, error_body, headers_of, status_of
from stepscore_service.http.request_state import CODE

_TO_CHANGE = {
    "extra_forbidden": "there is no field of this name; remove it or correct the name (/docs lists the fields)",
    "missing": "this field is missing; add it",
    "model_attributes_type": "this must be a JSON object with named fields",
    "model_type": "this must be a JSON object with named fields",
    "dict_type": "this must be a JSON object with named fields",
    "tuple_type": "this must be a list",
    "none_required": "this is not supported here; leave it out",
}
SHOWN = 20
"""Validation errors that an answer lists; `count` says how many there are."""
BodyPath = tuple[str | int, ...]
PlacedError = tuple[BodyPath, Mapping[str, Any]]


def install(app: FastAPI) -> None:
    """Answer every exception with code, message and detail."""
    app.add_exception_handler(StepscoreError, _on_stepscore_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_defect)


async def _on_stepscore_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StepscoreError)
    return respond(request, error)


def respond(request: Request, error: StepscoreError) -> Response:
    """The error as an answer, counted by its code."""
    request.app.state.metrics.count_error(error)
    request.scope["state"][CODE] = error.code
    return JSONResponse(body_of(error), _status(request, error), headers_of(error))


def _status(request: Request, error: StepscoreError) -> int:
    """404 for a model that is not served if the path names it, so that there is no such resource."""
    return 404 if isinstance(error, UnknownModel) and "name" in request.path_params else status_of(error)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return respond(request, invalid_request(error.errors(), error.body))


def invalid_request(errors: Sequence[Any], body: Any) -> InvalidRequest:
    """Pydantic's errors without the input that they repeat, which may be megabytes long. body: what was sent."""
    found = _keep_furthest([(_find_place(each, body), each) for each in errors])
    shown = [{"where": _format_path(place), "problem": _message(each)} for place, each in found[:SHOWN]]
    first = shown[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return InvalidRequest(f"{first['where']}: {first['problem']}{more}", errors=shown, count=len(found))


def _keep_furthest(errors: Sequence[PlacedError]) -> list[PlacedError]:
    """Without errors of a place inside which another one lies: of the types tried there, that one got further."""
    inside = {place[:end] for place, _ in errors for end in range(1, len(place))}
    return [(place, each) for place, each in errors if place not in inside]


def _message(error: Mapping[str, Any]) -> str:
    """What to change, in place of pydantic's words that only say what is wrong."""
    return _TO_CHANGE.get(error.get("type", "")) or str(error["msg"]).removeprefix("Value error, ")


def _find_place(error: Mapping[str, Any], body: Any) -> BodyPath:
    """The keys and numbers that lead to it, none for the whole body; not pydantic's names of the types it tried."""
    source, *path = error["loc"] or ("body",)
    if source != "body":
        return (source, *path)
    found: list[str | int] = []
    value = body
    for part in path:
        if part in (value if isinstance(value, Mapping) else range(len(value)) if isinstance(value, list) else ()):
            value = value[part]
            found.append(part)
    if error.get("type") == "missing" and path:
        found.append(path[-1])
    return tuple(found)


def _format_path(place: BodyPath) -> str:
    """`items.3.steps`; `body` for the whole of it."""
    return ".".join(str(part) or '""' for part in place) or "body"


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, "http_error")
    request.app.state.metrics.errors.labels(code).inc()
    request.scope["state"][CODE] = code
    message = f"{error.detail}: {request.method} {request.url.path}; /docs lists the routes"
    return JSONResponse(error_body(code, message), error.status_code, error.headers)


async def _on_defect(request: Request, error: Exception) -> Response:
    """A defect of the program; the traceback goes to the log, not to the caller."""
    request.app.state.metrics.errors.labels(StepscoreError.code).inc()
    request.scope["state"][CODE] = StepscoreError.code
    return JSONResponse(error_body(StepscoreError.code, "the service failed; its log says why"), 500)
