"""Traces reach a collector over OTLP: a span for the request, spans for its parts, in the caller's trace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service_case import PROBLEM, STEPS, connect, fake_scorer, live

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The address of an OTLP collector, and the bodies that it got."""
    bodies: list[bytes] = []

    class Collect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Collect)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_is_a_span_with_its_parts(folder: Path, collector: tuple[str, list[bytes]]) -> None:
    address, bodies = collector
    with live({"fake": fake_scorer(folder)}, otlp_endpoint=address) as url, connect(url) as http:
        http.get("/health/live")
        caller = {"traceparent": f"00-{TRACE}-{'1' * 16}-01"}
        http.post("/score", json={"problem": PROBLEM, "steps": STEPS}, headers=caller)
    spans = [
        span
        for body in bodies
        for resource in trace_service.ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    by_name = {span.name: span for span in spans}
    assert set(by_name) == {"POST /score", "tokenise", "queue", "forward"}
    root = by_name["POST /score"]
    assert root.trace_id.hex() == TRACE
    attributes = {each.key: each.value for each in root.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["stepscore.model"].string_value == "fake"
    assert attributes["stepscore.tokens"].int_value > 0
    assert PROBLEM.encode() not in b"".join(bodies)
    for name in ("tokenise", "queue", "forward"):
        assert by_name[name].parent_span_id == root.span_id
        assert root.start_time_unix_nano - 2e6 <= by_name[name].start_time_unix_nano
        assert by_name[name].end_time_unix_nano <= root.end_time_unix_nano + 2e6
