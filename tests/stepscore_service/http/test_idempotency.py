"""Idempotency keys: one forward for a request that is sent again, another answer for none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from service_case import PROBLEM, STEPS, connect, fake_scorer, live
from stepscore.types import Encoded
from stepscore_service.http.idempotency import AnswerStore

ONE = {"problem": PROBLEM, "steps": STEPS}
KEY = {"Idempotency-Key": "run-1/sample-7"}


def test_a_request_sent_again_costs_no_forward_and_says_so(folder: Path) -> None:
    forwards: list[int] = []
    scorer = fake_scorer(folder, before_forward=lambda batch: forwards.append(len(batch)))
    with live({"fake": scorer}) as url, connect(url) as http:
        first, again = (http.post("/score", json=ONE, headers=KEY) for _ in range(2))
        assert again.json() == first.json()
        assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
        assert first.headers["x-request-id"] != again.headers["x-request-id"]
        assert len(forwards) == 1
        http.post("/score", json=ONE, headers={"Idempotency-Key": "other"})
        assert len(forwards) == 2


def test_a_key_with_another_body_is_an_error(folder: Path) -> None:
    with live({"fake": fake_scorer(folder)}) as url, connect(url) as http:
        http.post("/score", json=ONE, headers=KEY)
        other = http.post("/score", json=ONE | {"aggregate": "min"}, headers=KEY)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        long = http.post("/score", json=ONE, headers={"Idempotency-Key": "x" * 200})
        assert (long.status_code, long.json()["code"]) == (422, "invalid_request")


def test_a_second_that_comes_while_the_first_runs_waits_for_it(folder: Path) -> None:
    gate, forwards = threading.Event(), list[int]()

    def held(batch: Sequence[Encoded]) -> None:
        forwards.append(len(batch))
        assert gate.wait(20)

    with live({"fake": fake_scorer(folder, before_forward=held)}) as url, ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(httpx.post, f"{url}/score", json=ONE, headers=KEY, timeout=30) for _ in range(3)]
        while not forwards:
            pass
        gate.set()
        assert len({call.result().text for call in calls}) == 1
    assert len(forwards) == 1


def test_errors_are_not_kept(folder: Path) -> None:
    with live({"fake": fake_scorer(folder)}) as url, connect(url) as http:
        wrong = {"problem": PROBLEM, "steps": []}
        assert [http.post("/score", json=wrong, headers=KEY).status_code for _ in range(2)] == [422, 422]
        assert http.post("/score", json=ONE, headers=KEY).is_success


def request(key: str) -> Request:
    scope = {"type": "http", "method": "POST", "path": "/score", "query_string": b"", "state": {}}
    return Request({**scope, "headers": [(b"idempotency-key", key.encode()), (b"host", b"x")], "server": ("x", 80)})


async def test_answers_are_given_up_by_age_and_by_size() -> None:
    now, made = [0.0], list[str]()
    store = AnswerStore(10.0, 250, clock=lambda: now[0])

    async def ask(key: str) -> Response:
        async def answer() -> Response:
            made.append(key)
            return Response(b"x" * 100)

        return await store.once(request(key), b"body", answer)

    for key in ("a", "b", "a", "b"):
        await ask(key)
    assert made == ["a", "b"]
    await ask("c")
    await ask("a")
    assert made == ["a", "b", "c", "a"]
    now[0] = 11.0
    await ask("c")
    assert made[-1] == "c"


async def test_if_the_first_gives_up_the_next_computes() -> None:
    store, started = AnswerStore(10.0, 1000), asyncio.Event()

    async def never() -> Response:
        started.set()
        await asyncio.sleep(60)
        raise AssertionError

    async def quick() -> Response:
        return Response(b"done")

    first = asyncio.create_task(store.once(request("a"), b"body", never))
    await started.wait()
    second = asyncio.create_task(store.once(request("a"), b"body", quick))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).body == b"done"
    with pytest.raises(asyncio.CancelledError):
        await first
