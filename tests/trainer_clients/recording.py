"""A proxy between a trainer's client and a service: it notes what passes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Exchange = dict[str, Any]
"""method, path, headers (of those that matter), body; status and answer, as JSON."""
NOTED = ("content-type", "accept")
PASSED = (*NOTED, "authorization")


@contextmanager
def recorded(url: str) -> Iterator[tuple[str, list[Exchange]]]:
    """The proxy's address, and the exchanges in order."""
    exchanges: list[Exchange] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._pass()

        def do_GET(self) -> None:
            self._pass()

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: self.headers[name] for name in PASSED if self.headers[name]}
            answer = httpx.request(self.command, url + self.path, content=body, headers=headers, timeout=60)
            exchanges.append(
                {
                    "method": self.command,
                    "path": self.path,
                    "headers": {name: headers[name] for name in NOTED if name in headers},
                    "body": json.loads(body) if body else None,
                    "status": answer.status_code,
                    "answer": answer.json(),
                }
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["content-type"])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *args: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", exchanges
        finally:
            server.shutdown()
            thread.join()
