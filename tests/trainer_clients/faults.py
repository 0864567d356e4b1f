"""A proxy before a service, which lets a fault happen when the trainer reaches a step of its run."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

VERSION = "X-Policy-Version"
PASSED = ("Content-Type", "Accept", VERSION)
BUSY = json.dumps({"code": "queue_full", "message": "the queue is full"}).encode()
Fault = Callable[["FaultyHandler", bytes], None]
"""What happens to one request, whose body it gets; it answers, or closes the connection."""


class FaultyHandler(BaseHTTPRequestHandler):
    """Requests of a step with faults in `plan` meet them in order, one each; all others pass."""

    protocol_version = "HTTP/1.1"
    service: str
    plan: dict[str, list[Fault]]
    seen: Counter[str]
    lock: threading.Lock

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            waiting = self.plan.get(self.headers.get(VERSION, ""), [])
            fault = waiting.pop(0) if waiting else FaultyHandler.pass_on
            self.seen[getattr(fault, "__name__", "fault")] += 1
        fault(self, body)

    def do_GET(self) -> None:
        self.reply(httpx.get(self.service + self.path, timeout=60))

    def pass_on(self, body: bytes) -> None:
        """To the service and back; an unreachable service is a closed connection."""
        try:
            self.reply(self.forward(body))
        except httpx.TransportError:
            self.hang_up()

    def forward(self, body: bytes) -> httpx.Response:
        headers = {name: self.headers[name] for name in PASSED if self.headers[name]}
        return httpx.post(self.service + self.path, content=body, headers=headers, timeout=60)

    def reply(self, answer: httpx.Response, share: float = 1.0) -> None:
        """The first `share` of the answer's bytes under the length of all."""
        self.send_response(answer.status_code)
        for name in ("Content-Type", "Retry-After"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content[: int(share * len(answer.content))])

    def hang_up(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Nothing is logged."""


def refuse(handler: FaultyHandler, body: bytes) -> None:
    """503, as a service with a full queue answers."""
    headers = {"Content-Type": "application/json", "Retry-After": "0"}
    handler.reply(httpx.Response(503, content=BUSY, headers=headers))


def answer_half(handler: FaultyHandler, body: bytes) -> None:
    """Half the bytes of the right answer, then the connection is lost."""
    handler.reply(handler.forward(body), share=0.5)
    handler.hang_up()


@contextmanager
def faulty(url: str, plan: Mapping[int, list[Fault]]) -> Iterator[tuple[str, Counter[str]]]:
    """The proxy's address, and how often each fault happened. plan: faults by the trainer's step."""
    namespace = {
        "service": url,
        "plan": {f"step-{step}": list(faults) for step, faults in plan.items()},
        "seen": Counter(),
        "lock": threading.Lock(),
    }
    handler = type("PlannedHandler", (FaultyHandler,), namespace)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", namespace["seen"]
        finally:
            server.shutdown()
            thread.join()
