"""Idempotency keys: a request that is sent again with the same key gets the answer of the first, and no forward."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from stepscore_service.errors import IdempotencyMismatch, InvalidRequest
from stepscore_service.http.request_state import CALLER

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_ACCEPTED = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer that was given. digest: of the request's body. until: on the store's clock."""

    digest: bytes
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    until: float

    def replay(self) -> Response:
        response = Response(self.body, self.status)
        response.raw_headers = [*self.headers, (REPLAYED.lower().encode(), b"true")]
        return response


@dataclass(frozen=True, slots=True)
class RunningAnswer:
    """A request that is being answered."""

    digest: bytes
    finished: asyncio.Event


class AnswerStore:
    """Answers by caller, path and key, the oldest given up first. For one event loop.

    seconds: how long an answer is kept; 0 turns the store off. max_bytes: of all bodies.
    """

    def __init__(self, seconds: float, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._stored: OrderedDict[str, StoredAnswer] = OrderedDict()
        self._running: dict[str, RunningAnswer] = {}

    async def once(self, request: Request, body: bytes, answer: Callable[[], Awaitable[Response]]) -> Response:
        """What `answer` gives, or gave to the same request before. Only answers with a status below 300 are kept.

        Raises InvalidRequest for a key that is not plain ASCII, IdempotencyMismatch if the key came with another body.
        """
        key = request.headers.get(HEADER)
        if key is None or not self._seconds:
            return await answer()
        name, digest = _name(request, key), sha256(body).digest()
        while (running := self._running.get(name)) is not None:
            _check(running.digest, digest)
            await running.finished.wait()
        stored = self._find(name)
        if stored is not None:
            _check(stored.digest, digest)
            return stored.replay()
        self._running[name] = RunningAnswer(digest, asyncio.Event())
        try:
            given = await answer()
            self._keep(name, digest, given)
            return given
        finally:
            self._running.pop(name).finished.set()

    def _find(self, name: str) -> StoredAnswer | None:
        stored = self._stored.get(name)
        if stored is not None and stored.until <= self._clock():
            self._drop(name)
            return None
        return stored

    def _keep(self, name: str, digest: bytes, given: Response) -> None:
        """A stream has no body to keep."""
        body = getattr(given, "body", None)
        if not isinstance(body, bytes) or given.status_code >= 300 or len(body) > self._max_bytes:
            return
        until = self._clock() + self._seconds
        self._stored[name] = StoredAnswer(digest, given.status_code, list(given.raw_headers), body, until)
        self._bytes += len(body)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._stored)))

    def _drop(self, name: str) -> None:
        self._bytes -= len(self._stored.pop(name).body)


def _name(request: Request, key: str) -> str:
    if not _ACCEPTED.fullmatch(key):
        message = f"{HEADER} must be 1 to 128 visible ASCII characters"
        raise InvalidRequest(message, errors=[{"where": HEADER, "problem": message}], count=1)
    caller = request.scope["state"].get(CALLER)
    return "\n".join((caller.name if caller else "", str(request.url.path), request.url.query, key))


def _check(known: bytes, digest: bytes) -> None:
    if known != digest:
        raise IdempotencyMismatch(f"this {HEADER} came with another body before; use a new key for a new request")
