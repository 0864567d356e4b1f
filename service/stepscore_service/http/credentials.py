"""Keys as trainers' unchanged clients can send them, turned into the one form that the service reads: a bearer token.

- `Authorization: Bearer KEY` stays as it is.
- `http://any:KEY@HOST/...` makes clients send basic credentials: the password is the key.
- `http://HOST/key/KEY/...` is for clients that send no header at all. The key is taken out of the path before anything
  is logged, but a proxy in between may log it.
- `XRL-Authorization: Bearer KEY` is what ROLL sends.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

_IN_PATH = re.compile(r"/key/(?P<key>[^/]+)(?P<path>/.*)", re.DOTALL)
OF_ROLL = "XRL-Authorization"


class Credentials:
    """ASGI middleware: the outermost, so that no other sees a key in a path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(with_bearer(scope) if scope["type"] == "http" else scope, receive, send)


def with_bearer(scope: Scope) -> Scope:
    """The scope with the key of its path or headers, if there is one, as a bearer token. A key in the path wins."""
    root = scope.get("root_path", "")
    in_path = _IN_PATH.fullmatch(scope["path"].removeprefix(root))
    headers = MutableHeaders(raw=list(scope["headers"]))
    key = in_path["key"] if in_path else _basic(headers.get("authorization", "")) or _of_roll(headers)
    if not key:
        return scope
    headers["Authorization"] = f"Bearer {key}"
    found = {**scope, "headers": headers.raw}
    if in_path:
        path = root + in_path["path"]
        found |= {"path": path, "raw_path": quote(path).encode()}
    return found


def _of_roll(headers: MutableHeaders) -> str:
    return "" if "authorization" in headers else headers.get(OF_ROLL, "").removeprefix("Bearer ")


def _basic(authorization: str) -> str:
    """The password of basic credentials; empty for anything else."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
