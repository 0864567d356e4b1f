"""The HTTP door, by raw sockets: sizes, slow clients, too many of them, and bytes that are not HTTP."""

from __future__ import annotations

import gzip
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric

BODY = json.dumps({"problem": PROBLEM, "steps": STEPS}).encode()
HEAD = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
PATIENCE = 20.0


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    limits: dict[str, Any] = {"max_connections": 8, "head_seconds": 0.5, "body_seconds": 0.5, "idle_seconds": 1}
    with live({"fake": fake_scorer(folder)}, max_header_bytes=4096, **limits) as url:
        yield url


@contextmanager
def dial(url: str) -> Iterator[socket.socket]:
    where = urlsplit(url)
    assert where.hostname
    assert where.port
    with closing(socket.create_connection((where.hostname, where.port), timeout=PATIENCE)) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Everything until the service closes."""
    received = b""
    while True:
        try:
            part = connection.recv(1 << 16)
        except ConnectionResetError:
            return received
        if not part:
            return received
        received += part


def status_and_code(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


def exchange(url: str, data: bytes) -> bytes:
    with dial(url) as connection:
        connection.sendall(data)
        return read_all(connection)


def test_a_body_announced_too_large_is_refused_before_it_is_sent(address: str) -> None:
    answer = exchange(address, HEAD + b"Content-Length: 99000000000\r\n\r\n{")
    assert status_and_code(answer) == (413, "body_too_large")
    assert b"x-request-id" in answer.lower()


def test_a_body_that_waits_for_a_go_is_told_413_instead(address: str) -> None:
    answer = exchange(address, HEAD + b"Content-Length: 99000000000\r\nExpect: 100-continue\r\n\r\n")
    assert status_and_code(answer) == (413, "body_too_large")


@pytest.mark.parametrize("filler", [b"X-Filler: " + b"a" * 5000, b"\r\n".join(b"X-%d: b" % n for n in range(600))])
def test_large_headers_are_refused(address: str, filler: bytes) -> None:
    answer = exchange(address, HEAD + filler + b"\r\nContent-Length: 2\r\n\r\n{}")
    assert status_and_code(answer) == (431, "headers_too_large")


def test_headers_without_end_are_refused(address: str) -> None:
    assert status_and_code(exchange(address, HEAD + b"X-Filler: " + b"a" * 9000)) == (431, "headers_too_large")


def test_a_slow_head_and_a_slow_body_time_out(address: str) -> None:
    assert status_and_code(exchange(address, HEAD)) == (408, "request_timeout")
    assert status_and_code(exchange(address, HEAD + b"Content-Length: 50\r\n\r\n{")) == (408, "request_timeout")


def test_a_body_that_drips_gains_no_time(address: str) -> None:
    started = time.monotonic()
    with dial(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
        for _ in range(3):
            time.sleep(0.15)
            connection.sendall(b"{")
        assert status_and_code(read_all(connection)) == (408, "request_timeout")
    assert time.monotonic() - started < 5


def test_idle_connections_are_closed_before_and_after_a_request(address: str) -> None:
    assert exchange(address, b"") == b""
    answer = exchange(address, HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    assert answer.startswith(b"HTTP/1.1 200")


def test_beyond_the_limit_only_probes_are_answered(address: str) -> None:
    with ExitStack() as held:
        for _ in range(8):
            held.enter_context(dial(address))
        with connect(address) as http:
            refused = http.post("/score", content=BODY, headers={"Content-Type": "application/json"})
            assert (refused.status_code, refused.json()["code"]) == (503, "too_many_connections")
            assert refused.headers["retry-after"] == "1"
        with connect(address) as http:
            assert http.get("/health/live").is_success


def test_garbage_is_refused_and_harms_nobody(address: str) -> None:
    source = random.Random(7)
    for _ in range(30):
        answer = exchange(address, source.randbytes(source.randrange(1, 3000)))
        assert not answer or status_and_code(answer)[0] in (400, 408, 431)
    assert httpx.get(f"{address}/health/live").is_success


def test_refusals_are_counted(address: str) -> None:
    exchange(address, b"\x16\x03\x01 this is TLS\r\n\r\n")
    with connect(address) as http:
        assert metric(http, "stepscore_errors_total", code="bad_http") >= 1
        assert metric(http, "stepscore_errors_total", code="request_timeout") >= 1


def test_pipelined_requests_are_answered_in_order(address: str) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    assert exchange(address, 5 * request).count(b"HTTP/1.1 200") == 5


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
WHOLE = b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize("body", [CHUNKED, WHOLE])
@pytest.mark.parametrize("apart", [False, True])
def test_a_client_that_offers_another_protocol_is_answered_in_this_one(address: str, body: bytes, apart: bool) -> None:
    with dial(address) as connection:
        for part in (HEAD + OFFER + body[: body.index(b"\r\n\r\n") + 4], body[body.index(b"\r\n\r\n") + 4 :]):
            connection.sendall(part)
            time.sleep(0.05 * apart)
        connection.sendall(HEAD + b"Connection: close\r\n" + WHOLE)
        assert read_all(connection).count(b"HTTP/1.1 200") == 2


def test_an_offer_of_a_web_socket_is_not_taken(address: str) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: aGVsbG8=\r\nSec-WebSocket-Version: 13\r\n"
    assert exchange(address, b"GET /dashboard HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n").startswith(b"HTTP/1.1 200")


def test_an_offer_that_cannot_be_overlooked_is_refused_and_costs_no_body(address: str) -> None:
    with dial(address) as connection:
        connection.sendall(HEAD + b"Connection: Upgrade\r\nUpgr")
        time.sleep(0.1)
        connection.sendall(b"ade: h2c\r\n" + WHOLE)
        assert status_and_code(read_all(connection)) == (400, "bad_http")


@pytest.mark.parametrize(("hosts", "status"), [(0, 400), (1, 200), (2, 400)])
def test_a_request_names_one_host(address: str, hosts: int, status: int) -> None:
    head = b"GET /health/live HTTP/1.1\r\n" + hosts * b"Host: x\r\n" + b"Connection: close\r\n\r\n"
    assert int(exchange(address, head).split()[1]) == status
    assert exchange(address, b"GET /health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_what_only_looks_like_a_probe_gets_no_spare_connection(address: str) -> None:
    with ExitStack() as held:
        for _ in range(8):
            held.enter_context(dial(address))
        with connect(address) as http:
            for path in ("/score?x=/health", "/health/live/../../score", "/healthy"):
                refused = http.post(path, content=BODY, headers={"Content-Type": "application/json"})
                assert refused.json()["code"] == "too_many_connections", path


def test_head_is_get_without_a_body(address: str) -> None:
    with connect(address) as http:
        for path in ("/health/live", "/health/ready", "/health", "/", "/metrics", "/v1/models"):
            head, get = http.head(path), http.get(path)
            assert (head.status_code, head.content) == (200, b""), path
            assert head.headers["content-type"] == get.headers["content-type"]
        assert http.head("/score").status_code == 405


def test_a_body_compressed_on_its_way_is_refused_as_such(address: str) -> None:
    packed = gzip.compress(BODY)
    head = HEAD + b"Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n"
    answer = exchange(address, head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed))
    assert status_and_code(answer) == (415, "unsupported_media_type")


def test_answers_that_nobody_reads_are_given_up_and_break_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with live({"fake": fake_scorer(folder)}, send_seconds=0.5) as url, dial(url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        time.sleep(2)
        with connect(url) as http:
            given_up = metric(http, "stepscore_requests_total", route="/openapi.json")
            assert 0 < given_up < 200
            assert metric(http, "stepscore_requests_total", code="500") == 0
    assert not [record for record in caplog.records if record.name == "uvicorn.error"]
