"""Around every request: its id, its access line in the log, its count and time in the metrics."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepscore.errors import StepscoreError
from stepscore_service.batching.protocols import RequestFacts
from stepscore_service.errors import body_of, headers_of, status_of
from stepscore_service.http.json_body import check_length
from stepscore_service.http.request_state import CALLER, CODE, FACTS, REFUSAL, route_of
from stepscore_service.http.tracing import Traces
from stepscore_service.serving.metrics import Metrics

REQUEST_ID = "X-Request-Id"
_ACCEPTED_ID = re.compile(r"[\x21-\x7e]{1,128}")
_QUIET = ("/health", "/metrics")
SHOWN = 500
"""Characters of a path that the log shows."""

log = structlog.get_logger("stepscore.access")


class AccessLog:
    """ASGI middleware. A caller's X-Request-Id comes back; if it is missing or not plain ASCII, a new one is made.

    sends_id: False if a proxy of ours sends it back already.

    The line holds no text of the caller's but the path and that id: no body, no query, no header.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, traces: Traces | None = None, sends_id: bool = True) -> None:
        self._app = app
        self._metrics = metrics
        self._sends_id = sends_id
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        request_id = _request_id(scope)
        facts = scope.setdefault("state", {}).setdefault(FACTS, RequestFacts())
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                if self._sends_id:
                    headers[REQUEST_ID] = request_id
                headers["Server-Timing"] = server_timing(facts, time.monotonic() - started)
            await send(message)

        # A scrape would otherwise always count itself.
        running = nullcontext() if scope["path"].startswith(_QUIET) else self._metrics.running.track_inprogress()
        with structlog.contextvars.bound_contextvars(request_id=request_id), running:
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._record(scope, status, started, time.monotonic())

    def _record(self, scope: Scope, status: int, started: float, ended: float) -> None:
        seconds = ended - started
        route = route_of(scope)
        self._metrics.requests.labels(route, status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        write = log.debug if route.startswith(_QUIET) else log.info
        client = _printable(scope["client"][0]) if scope.get("client") else None
        known = _facts_of(scope["state"])
        if self._traces is not None and not route.startswith(_QUIET):
            attributes = {f"stepscore.{name}": value for name, value in known.items()}
            attributes["http.response.status_code"] = status
            self._traces.record(scope, scope["state"][FACTS], attributes, (started, ended))
        write(
            "request",
            method=scope["method"],
            path=_printable(scope["path"]),
            status=status,
            ms=round(1e3 * seconds, 1),
            client=client,
            **known,
        )


def _printable(path: str) -> str:
    """What a terminal would obey is escaped, and a long path is shortened."""
    shown = path if len(path) <= SHOWN else f"{path[:SHOWN]}… ({len(path)} characters)"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown)


class HeadAsGet:
    """ASGI middleware: a HEAD is a GET whose body the server leaves out. Monitors and load balancers probe with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


class CloseWhileDraining:
    """ASGI middleware: at shutdown every answer ends its connection, so that the caller's next one goes elsewhere.

    On a connection that is kept, a client would be refused again and again by the pod that is going.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["app"].state.pool.draining:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_last if scope["type"] == "http" else send)


class SlashAtTheEnd:
    """ASGI middleware: `POST /score/` is `POST /score`. A redirect would lose the body of some clients.

    A GET is redirected by the router, because a page's relative links depend on the slash.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/"):
            path = scope["path"].rstrip("/") or "/"
            scope = {**scope, "path": path, "raw_path": quote(path).encode()}
        await self._app(scope, receive, send)


def _facts_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a request beside its line: the error's code, model, tokens, tenant."""
    facts: RequestFacts = state[FACTS]
    caller = state.get(CALLER)
    known = {
        "code": state.get(CODE),
        "model": facts.model,
        "tokens": facts.tokens,
        "solutions": facts.solutions,
        "tenant": caller and caller.name,
    }
    return {name: value for name, value in known.items() if value}


def server_timing(facts: RequestFacts, total: float) -> str:
    """The header Server-Timing, in milliseconds: of the request so far, and of the parts that it has gone through."""
    parts = {"tokenise": facts.tokenise, "queue": facts.queue, "forward": facts.forward}
    known = {name: part[1] - part[0] for name, part in parts.items() if part is not None}
    return ", ".join(f"{name};dur={1e3 * seconds:.1f}" for name, seconds in {**known, "total": total}.items())


class Refusals:
    """ASGI middleware: answers what is refused by its head alone: by the door, or for the size that it announces."""

    def __init__(self, app: ASGIApp, metrics: Metrics, max_body_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        self._metrics.count_error(refusal)
        scope["state"][CODE] = refusal.code
        headers = {**headers_of(refusal), "Connection": "close"}
        await JSONResponse(body_of(refusal), status_of(refusal), headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> StepscoreError | None:
        found: StepscoreError | None = scope.get("state", {}).get(REFUSAL)
        if found is not None:
            return found
        try:
            check_length(Headers(scope=scope), self._max_body_bytes)
        except StepscoreError as error:
            return error
        return None


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
