"""The HTTP door: uvicorn's connection with limits on what a client may send, how slowly, and how many may be here.

A refusal that can wait for the head of the request is left to the application (`REFUSAL` in the scope's state), so that
it has a request id and is counted like every other answer. The others are written here, in the same shape.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from stepscore.errors import StepscoreError
from stepscore_service.errors import (
    BadHttp,
    HeadersTooLarge,
    RequestTimeout,
    TooManyConnections,
    body_of,
    headers_of,
    status_of,
)
from stepscore_service.http.request_state import REFUSAL
from stepscore_service.settings import Settings

PROBES = re.compile(rb"[^?#]*/health(/\w+)?/?")
OFFERS = re.compile(rb"(?<=\r\n)upgrade(?=[ \t]*:)", re.IGNORECASE)
"""Names of the header by which a client offers another protocol."""
LINGER_SECONDS = 2.0
"""How long the rest of a body is discarded after an answer that did not wait for it."""
SPARE_CONNECTIONS = 32
"""Beyond the limit, for probes: a full service is not a dead one."""


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Times in seconds: until a head, a body or the reading of an answer must be complete."""

    max_connections: int
    max_header_bytes: int
    head_seconds: float
    body_seconds: float
    send_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> DoorLimits:
        return cls(
            max_connections=settings.max_connections,
            max_header_bytes=settings.max_header_bytes,
            head_seconds=settings.head_seconds,
            body_seconds=settings.body_seconds,
            send_seconds=settings.send_seconds,
        )


class _ClosedByDoor:
    """A connection's transport as an answer sees it."""

    def __init__(self, door: Door) -> None:
        self.write = door.transport.write
        self.is_closing = door.transport.is_closing
        self.close = door.close


class Door(HttpToolsProtocol):
    """One connection. count_refusal: called with each error that the application does not see."""

    def __init__(
        self, *args: Any, limits: DoorLimits, count_refusal: Callable[[StepscoreError], None], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._count_refusal = count_refusal
        self._in_head = True
        self._head_bytes = 0
        self._lingering = False
        self._cycles: list[RequestResponseCycle] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections + SPARE_CONNECTIONS:
            self._refuse(_too_many(self._limits))
        else:
            self._start("head", self._limits.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        for name in tuple(self._timers):
            self._stop(name)
        self._abandon()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._in_head:
            self._head_bytes += len(data)
            data = _without_offers(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > self._limits.max_header_bytes:
            self._refuse(_too_large(self._limits))
        elif self._in_head and self._head_bytes:
            self._start("head", self._limits.head_seconds, self._head_is_late)
        elif self.cycle and self.cycle.more_body:
            self._start("body", self._limits.body_seconds, self._body_is_late)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._stop("head")
        self._in_head, self._head_bytes = False, 0
        refusal = self._refusal_of_head()
        if refusal is not None:
            self.scope["state"][REFUSAL] = refusal
        super().on_headers_complete()
        self._cycles = [each for each in self._cycles if not each.response_complete] + [self.cycle]
        self.cycle.transport = _ClosedByDoor(self)  # type: ignore[assignment]  # what a cycle needs of a transport

    def on_message_complete(self) -> None:
        self._stop("body")
        self._in_head = True
        super().on_message_complete()

    def close(self) -> None:
        """Close after an answer. While a body still comes, a reset would lose the answer: discard some of it first."""
        if not self.cycle.more_body or self.transport.is_closing():
            self.transport.close()
            return
        self._lingering = True
        self._start("linger", LINGER_SECONDS, self.transport.close)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("send", self._limits.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop("send")
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadHttp("this is not HTTP/1.1"))

    def _refusal_of_head(self) -> StepscoreError | None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.max_header_bytes:
            return _too_large(self._limits)
        if len(self.connections) > self._limits.max_connections and not PROBES.fullmatch(self.url):
            return _too_many(self._limits)
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            return BadHttp(f"the request has {hosts} Host headers; send one")
        if self.parser.should_upgrade():
            return BadHttp("this service speaks HTTP/1.1 only; leave out the header Upgrade")
        return None

    def _head_is_late(self) -> None:
        if self._head_bytes:
            self._refuse(RequestTimeout(f"the head did not arrive within {self._limits.head_seconds:g} s"))
        else:
            self.transport.close()

    def _body_is_late(self) -> None:
        if self.cycle.response_started:
            self.transport.abort()
        else:
            self._refuse(RequestTimeout(f"the body did not arrive within {self._limits.body_seconds:g} s"))

    def _refuse(self, error: StepscoreError) -> None:
        """Answer without the application, and close."""
        self._count_refusal(error)
        self._abandon()
        body = to_json(body_of(error))
        headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in (headers | headers_of(error)).items())
        self.transport.write(STATUS_LINE[status_of(error)] + head.encode("ascii") + b"\r\n" + body)
        self.transport.close()

    def _abandon(self) -> None:
        """Nobody reads answers any more, also those of pipelined requests, of which the base knows the last alone."""
        for cycle in self._cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _start(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        if seconds and name not in self._timers:
            self._timers[name] = self.loop.call_later(seconds, then)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def _without_offers(data: bytes) -> bytes:
    """The same bytes with the header Upgrade under another name, of the same length.

    A server may ignore the offer, but after it the parser reads no body. Java's HTTP client makes one by default
    (`Upgrade: h2c`).
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return OFFERS.sub(b"x-offer", head) + end + rest


def _too_many(limits: DoorLimits) -> TooManyConnections:
    message = f"more than {limits.max_connections} connections are open; try again later"
    return TooManyConnections(message, limit=limits.max_connections)


def _too_large(limits: DoorLimits) -> HeadersTooLarge:
    message = f"the request line and headers are larger than {limits.max_header_bytes} bytes"
    return HeadersTooLarge(message, limit=limits.max_header_bytes)
