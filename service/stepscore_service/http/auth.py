"""Authentication: every route but the open ones needs a key of the right scope, if keys are configured.

With `--admin-port`, the routes for operators answer there and nowhere else.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from stepscore.errors import StepscoreError
from stepscore_service.errors import NotFound, body_of, headers_of, status_of
from stepscore_service.http.request_state import CALLER, CODE
from stepscore_service.serving.keys import ApiKey, KeyRing
from stepscore_service.serving.keys import Scope as KeyScope
from stepscore_service.serving.metrics import Metrics

PROBES = re.compile(r"(/v2|/tei)?/health(/\w+)?")
PAGES = re.compile(r"/|/dashboard|/solve|/page/.*|/docs(/.*)?|/docs-assets/.*|/openapi\.json")
"""Static: they hold nothing of what is sent or served."""
METRICS = re.compile(r"/metrics")
ADMIN = re.compile(r"/v1/models/.+/reload", re.DOTALL)


class Authentication:
    """ASGI middleware. admin_port: None serves the operators' routes on the same port as all others."""

    def __init__(self, app: ASGIApp, keys: KeyRing, metrics: Metrics, admin_port: int | None) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics
        self._admin_port = admin_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = self._admit(scope)
        except StepscoreError as error:
            self._metrics.count_error(error)
            scope["state"][CODE] = error.code
            await JSONResponse(body_of(error), status_of(error), headers_of(error))(scope, receive, send)
            return
        scope["state"][CALLER] = caller
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> ApiKey | None:
        """Raises NotAuthorised, ScopeMissing, and NotFound for a route of the other port."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        self._check_port(path, scope)
        if PROBES.fullmatch(path) or PAGES.fullmatch(path):
            return None
        if METRICS.fullmatch(path):
            return None if self._admin_port else self._keys.admit(_token(scope), None)
        needed: KeyScope = "admin" if ADMIN.fullmatch(path) else "score"
        return self._keys.admit(_token(scope), needed)

    def _check_port(self, path: str, scope: Scope) -> None:
        if self._admin_port is None or PROBES.fullmatch(path):
            return
        for_operators = bool(METRICS.fullmatch(path) or ADMIN.fullmatch(path))
        if for_operators != (scope["server"][1] == self._admin_port):
            raise NotFound(f"{path} is not served on this port")


def _token(scope: Scope) -> str:
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
