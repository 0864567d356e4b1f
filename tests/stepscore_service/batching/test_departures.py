"""Callers who hang up, or whose time is up, cost no forward."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric
from stepscore.types import Encoded

BODY = {"problem": PROBLEM, "steps": STEPS}


class Gate:
    """Holds forwards, and counts them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.forwards = 0

    def __call__(self, batch: Sequence[Encoded]) -> None:
        self.forwards += 1
        assert self.open.wait(20)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def held(folder: Path, gate: Gate) -> Iterator[httpx.Client]:
    """A service whose first forward does not end before the gate is opened."""
    scorer = fake_scorer(folder, before_forward=gate)
    with live({"fake": scorer}, max_queue_tokens=400) as url, connect(url) as http:
        yield http
        gate.open.set()


def until_waiting(http: httpx.Client, requests: int) -> None:
    deadline = time.monotonic() + 20
    while metric(http, "stepscore_queue_requests") != requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_running(gate: Gate) -> None:
    deadline = time.monotonic() + 20
    while not gate.forwards:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def post_raw(http: httpx.Client) -> socket.socket:
    """A connection that has sent a request and does not read."""
    where = urlsplit(str(http.base_url))
    assert where.hostname
    assert where.port
    connection = socket.create_connection((where.hostname, where.port))
    body = json.dumps(BODY).encode()
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_who_hangs_up_costs_no_forward(held: httpx.Client, gate: Gate) -> None:
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(held.post, "/score", json=BODY)
        until_running(gate)
        leaving = post_raw(held)
        until_waiting(held, 1)
        leaving.close()
        until_waiting(held, 0)
        gate.open.set()
        assert first.result().status_code == 200
    assert gate.forwards == 1
    assert metric(held, "stepscore_skipped_solutions_total", reason="departed") == 1
    assert metric(held, "stepscore_requests_total", route="/score", code="499") == 1


def test_a_deadline_is_kept(held: httpx.Client, gate: Gate) -> None:
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(held.post, "/score", json=BODY)
        until_running(gate)
        late = held.post("/score", json=BODY, headers={"X-Request-Timeout-Ms": "50"})
        assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
        gate.open.set()
        assert first.result().status_code == 200
    assert gate.forwards == 1


def test_a_full_queue_answers_503_and_when_to_come_again(held: httpx.Client, gate: Gate) -> None:
    with ThreadPoolExecutor(20) as threads:
        calls = [threads.submit(held.post, "/score", json=BODY) for _ in range(20)]
        deadline = time.monotonic() + 20
        while sum(call.done() for call in calls) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        gate.open.set()
        answers = [call.result() for call in calls]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all(answer.status_code == 200 for answer in answers if answer not in refused)
    assert all(answer.json()["code"] == "overloaded" for answer in refused)
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    assert all(answer.json()["detail"]["limit"] == 400 for answer in refused)
