"""Retries, batches and deadlines of the client, against a live service and against a server that follows a script."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric
from stepscore_service.client import AsyncStepscoreClient, ServiceError, StepscoreClient
from stepscore_service.client.asynchronous import session_headers
from stepscore_service.schemas.score import FailedItem, ScoreAnswer

Reply = tuple[int, dict[str, str], bytes]
BUSY: Reply = (503, {"Retry-After": "1"}, b'{"code": "overloaded", "message": "full", "detail": {}}')
GATEWAY: Reply = (502, {}, b"<html>bad gateway</html>")
RAY: Reply = (500, {}, b"Internal Server Error")
JUDGE: Reply = (502, {}, b'{"code": "no_verdict", "message": "nothing to read", "detail": {}}')
HANG_UP: Reply = (0, {}, b"")


@dataclass
class Script:
    """What a server answers, one reply a request; then it answers 200 with `last`. It notes what it was sent."""

    replies: list[Reply]
    last: bytes = b""
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list)

    def reply(self, headers: dict[str, str], body: Any) -> Reply:
        self.requests.append((headers, body))
        return self.replies.pop(0) if self.replies else (200, {}, self.last)


@contextmanager
def run_script(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, answer = script.reply({k.lower(): v for k, v in self.headers.items()}, body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def answer(http: httpx.Client) -> bytes:
    """A true answer to one solution."""
    return http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).content


@pytest.mark.parametrize("replies", [[BUSY], [GATEWAY], [RAY], [HANG_UP], [HANG_UP, GATEWAY, HANG_UP]])
def test_what_may_pass_is_sent_again(answer: bytes, replies: list[Reply]) -> None:
    script = Script(list(replies), answer)
    with run_script(script) as url, StepscoreClient(url, timeout=20) as client:
        started = time.monotonic()
        assert len(client.score(PROBLEM, STEPS).rewards) == 2
    assert len(script.requests) == len(replies) + 1
    assert replies[0] is not BUSY or time.monotonic() - started >= 1
    left = [int(headers["x-request-timeout-ms"]) for headers, _ in script.requests]
    assert left == sorted(left, reverse=True)
    assert left[-1] < left[0] <= 20_000


@pytest.mark.parametrize(
    ("reply", "code"), [(JUDGE, "no_verdict"), ((422, {}, JUDGE[2]), "no_verdict"), ((404, {}, b"?"), "http_error")]
)
def test_what_will_not_pass_is_raised_at_once(reply: Reply, code: str) -> None:
    script = Script([reply] * 9)
    with run_script(script) as url, StepscoreClient(url) as client, pytest.raises(ServiceError) as caught:
        client.score(PROBLEM, STEPS)
    assert (caught.value.status, caught.value.code, len(script.requests)) == (reply[0], code, 1)


@pytest.mark.parametrize(("reply", "error"), [(BUSY, ServiceError), (HANG_UP, httpx.TransportError)])
def test_at_the_deadline_the_last_failure_is_raised_and_no_number_made(
    reply: Reply, error: type[Exception], answer: bytes
) -> None:
    started = time.monotonic()
    script = Script([reply] * 99, answer)
    with run_script(script) as url, StepscoreClient(url, timeout=1.2) as client, pytest.raises(error):
        client.score(PROBLEM, STEPS)
    assert time.monotonic() - started < 2


def test_a_service_that_is_not_there_is_reported_at_once_by_what_asks_for_its_models() -> None:
    with StepscoreClient("http://127.0.0.1:9") as client, pytest.raises(httpx.ConnectError):
        client.models()


def test_the_key_the_salt_and_the_priority_travel_as_headers(answer: bytes) -> None:
    script = Script([], answer)
    options: dict[str, Any] = {"api_key": "k", "cache_salt": "run-7", "priority": "bulk"}
    with run_script(script) as url, StepscoreClient(url, **options) as client:
        client.score(PROBLEM, STEPS)
    ((headers, _),) = script.requests
    assert (headers["authorization"], headers["x-tenant"], headers["x-priority"]) == ("Bearer k", "run-7", "bulk")


class Held:
    """Keeps every forward until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, *args: object) -> None:
        assert self.open.wait(30)


def test_24_concurrent_calls_at_a_full_queue_all_get_their_answer(folder: Path) -> None:
    """From 24 clients, so that none travels with another."""
    gate = Held()
    with (
        live({"fake": fake_scorer(folder, before_forward=gate)}, max_queue_tokens=400) as url,
        ThreadPoolExecutor(24) as threads,
    ):

        def call(number: int) -> ScoreAnswer:
            with StepscoreClient(url, timeout=60) as client:
                return client.score(f"{PROBLEM} ({number})", STEPS)

        calls = [threads.submit(call, number) for number in range(24)]
        with connect(url) as http:
            wait_until(lambda: metric(http, "stepscore_errors_total", code="overloaded") >= 10)
            gate.open.set()
            assert [len(each.result().rewards) for each in calls] == [2] * 24


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_calls_at_the_same_time_travel_together_and_fail_apart(folder: Path) -> None:
    with live({"fake": fake_scorer(folder)}) as url:
        async with AsyncStepscoreClient(url) as client:
            good = [client.score(f"{PROBLEM} {n}", STEPS) for n in range(99)]
            bad = client.score(PROBLEM, ["fine", " "])
            *answers, error = await asyncio.gather(*good, bad, return_exceptions=True)
        apart = [StepscoreClient(url), StepscoreClient(url)]
        with connect(url) as http, apart[0], apart[1]:
            assert metric(http, "stepscore_requests_total", route="/score") == 2
            assert [each for each in answers if not isinstance(each, ScoreAnswer)] == []
            alone = [client.score(f"{PROBLEM} {n}", STEPS) for n, client in zip((0, 98), apart, strict=True)]
    assert [answers[0], answers[98]] == alone
    assert isinstance(error, ServiceError)
    assert (error.status, error.code, error.detail) == (422, "empty_step", {"step": 1})


async def test_calls_about_one_problem_travel_with_its_session() -> None:
    """Two problems with three calls each, and two with one each: three requests, of which two are about one problem."""
    script = Script([], last=json.dumps({"model": "m", "revision": "r", "dtype": "float32", "results": []}).encode())
    problems = ["a", "b", "c", "a", "b", "d", "a", "b"]
    with run_script(script) as url:
        async with AsyncStepscoreClient(url) as client:
            ended = await asyncio.gather(*(client.score(each, STEPS) for each in problems), return_exceptions=True)
    assert all(isinstance(each, ServiceError) for each in ended), "an answer without results fails every call"
    sent = {
        tuple(item["problem"] for item in body["items"]): headers.get("x-session-id")
        for headers, body in script.requests
    }
    assert sent == {
        ("a",) * 3: session_headers({"problem": "a"})["X-Session-Id"],
        ("b",) * 3: session_headers({"problem": "b"})["X-Session-Id"],
        ("c", "d"): None,
    }


async def test_a_call_that_the_service_cannot_parse_fails_alone(folder: Path) -> None:
    with live({"fake": fake_scorer(folder)}) as url:
        async with AsyncStepscoreClient(url) as client:
            calls = [client.score(PROBLEM, STEPS), client.score(PROBLEM, STEPS, split=7), client.score(PROBLEM, STEPS)]
            first, error, last = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, ScoreAnswer)
    assert first == last
    assert isinstance(error, ServiceError)
    assert error.code == "invalid_request"


def test_calls_with_other_options_get_answers_of_their_own(url: str) -> None:
    with StepscoreClient(url) as client, ThreadPoolExecutor(8) as threads:
        names = ["min", "prod", "mean", "last"] * 8
        calls = [threads.submit(client.score, PROBLEM, STEPS, aggregate=name) for name in names]
        assert [call.result().aggregate for call in calls] == names


def test_a_long_list_reports_its_progress_and_keeps_its_order(url: str) -> None:
    items = [{"problem": f"{PROBLEM} {n}", "steps": STEPS if n % 50 else []} for n in range(150)]
    seen: list[tuple[int, int]] = []
    with StepscoreClient(url) as client:
        found = client.score_items(items, model="fake", progress=lambda done, total: seen.append((done, total)))
        alone = client.score(f"{PROBLEM} 149", STEPS, model="fake")
    assert [result.index for result in found.results] == list(range(150))
    assert [n for n, result in enumerate(found.results) if isinstance(result, FailedItem)] == [0, 50, 100]
    last = found.results[149]
    assert isinstance(last, ScoreAnswer)
    assert last.rewards == alone.rewards
    assert sorted(done for done, _ in seen)[-1] == 150
    assert {total for _, total in seen} == {150}
    assert len(seen) == 3


def test_a_service_that_comes_back_is_found_again(folder: Path) -> None:
    with live({"fake": fake_scorer(folder)}) as url, StepscoreClient(url, timeout=60) as client:
        client.score(PROBLEM, STEPS)
        port = int(url.rpartition(":")[2])
    with StepscoreClient(url, timeout=60) as client, ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.score, PROBLEM, STEPS)
        time.sleep(0.5)
        with live({"fake": fake_scorer(folder)}, at=port):
            assert len(call.result().rewards) == 2
