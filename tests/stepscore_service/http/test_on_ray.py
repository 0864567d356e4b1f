"""`stepscore serve --ray` on a cluster of this machine: the rewards of one process, and what a killed replica loses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service_case import (
    PROBLEM,
    STEPS,
    check_problem_by_problem,
    connect,
    items_of_problems,
    offline_rewards,
    started,
)
from stepscore_service.client import StepscoreClient
from stepscore_service.client.asynchronous import session_headers

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]

START_SECONDS = 600
REPLICA = "ray::ServeReplica:stepscore"
ITEMS = items_of_problems(16)
PROBLEMS = list(dict.fromkeys(item["problem"] for item in ITEMS))


@dataclass(frozen=True)
class OnRay:
    """A running `stepscore serve --ray`."""

    url: str
    process: subprocess.Popen[str]

    def replicas(self) -> list[int]:
        """Their process ids: descendants of this service, not those of another cluster on the machine."""
        listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
        parents = {int(pid): int(parent) for pid, parent, *_ in rows}
        named = [int(row[0]) for row in rows if len(row) > 2 and row[2].startswith(REPLICA)]
        return [pid for pid in named if self.process.pid in ancestors(pid, parents)]


def ancestors(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid


@contextmanager
def served_on_ray(folder: Path, log: Path, *flags: str, **environment: str) -> Iterator[OnRay]:
    model = ("--model", f"tiny={folder}", "--dtype", "float32", "--device", "cpu")
    with started(["serve", "--ray", "--port", "0", *model, *flags], log, RAY_AUTH_MODE="disabled", **environment) as (
        url,
        process,
    ):
        yield OnRay(url, process)


@pytest.fixture(scope="module")
def service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRay]:
    with served_on_ray(folder, tmp_path_factory.mktemp("ray") / "log", "--ray-replicas", "2") as running:
        yield running


def wait_for_replicas(service: OnRay, count: int, gone: int = 0, seconds: float = START_SECONDS) -> None:
    until = time.monotonic() + seconds
    while len(set(service.replicas()) - {gone}) != count:
        assert time.monotonic() < until, service.replicas()
        time.sleep(0.5)


def computed_tokens(client: httpx.Client, problem: str) -> float:
    """Tokens that the replica of this problem has computed: the proxy sends the question to it by the same header."""
    text = client.get("/metrics", headers=session_headers({"problem": problem})).text
    (found,) = re.findall(r'^stepscore_tokens_computed_total{model="tiny"} (\S+)$', text, re.MULTILINE)
    return float(found)


def test_a_replica_is_added_while_tokens_wait(folder: Path, tmp_path: Path) -> None:
    flags = ("--ray-max-replicas", "2", "--ray-replica-tokens", "1", "--max-batch-tokens", "256")
    often = {"RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5"}
    item = {"problem": PROBLEM, "steps": [f"Step {n} of many." for n in range(60)]}
    with served_on_ray(folder, tmp_path / "log", *flags, **often) as service:
        assert len(service.replicas()) == 1
        until = time.monotonic() + START_SECONDS
        with ThreadPoolExecutor(4) as callers, StepscoreClient(service.url, timeout=200) as client:
            number = 0
            while len(service.replicas()) < 2:
                assert time.monotonic() < until
                fresh = [[item | {"problem": f"{PROBLEM} {number + n}"} for n in range(64)] for number in range(4)]
                number += 256
                list(callers.map(client.score_items, fresh))
        service.process.terminate()
        assert service.process.wait(120) == 0


def test_sigterm_answers_what_was_admitted_and_ends_with_0(folder: Path, tmp_path: Path) -> None:
    with served_on_ray(folder, tmp_path / "log", "--max-batch-tokens", "256") as service:
        items = [{"problem": f"{PROBLEM} {n}", "steps": [f"Step {k}." for k in range(60)]} for n in range(64)]
        with ThreadPoolExecutor(1) as caller, connect(service.url) as http:
            waiting = caller.submit(http.post, "/score", json={"items": items})
            time.sleep(0.5)
            service.process.send_signal(signal.SIGTERM)
            assert waiting.result(60).status_code == 200
            assert service.process.wait(120) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{service.url}/health/live")


def test_the_whole_service_answers_and_both_replicas_have_work(service: OnRay, folder: Path) -> None:
    with StepscoreClient(service.url) as client:
        check_problem_by_problem(client, ITEMS, offline_rewards(folder, ITEMS))
    with connect(service.url) as http:
        work = {computed_tokens(http, problem) for problem in PROBLEMS}
        assert len(work) == 2, "sixteen problems fall on both replicas"
        assert min(work) > 0.1 * sum(work)
        assert http.get("/health/ready").json()["state"] == "ready"
        assert http.get("/").status_code == http.get("/dashboard").status_code == 200
        refused = http.post("/score", json={"problem": PROBLEM})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert len(service.replicas()) == 2


def test_a_problem_that_comes_again_meets_the_replica_that_knows_it(service: OnRay) -> None:
    with connect(service.url) as http, StepscoreClient(service.url) as client:
        for problem in PROBLEMS[:4]:
            item = [{"problem": problem, "steps": STEPS}]
            client.score_items(item)
            before = computed_tokens(http, problem)
            client.score_items(item)
            assert computed_tokens(http, problem) == before


def test_a_request_id_comes_back_once(service: OnRay) -> None:
    with connect(service.url) as http:
        given = http.get("/health/live", headers={"X-Request-Id": "mine"})
        made = http.get("/health/live")
    assert given.headers.get_list("X-Request-Id") == ["mine"]
    assert len(made.headers.get_list("X-Request-Id")) == 1


def test_a_killed_replica_loses_nothing_but_retries_and_is_replaced(service: OnRay, folder: Path) -> None:
    wanted = offline_rewards(folder, ITEMS)
    victim = service.replicas()[0]

    def score_often(first: int) -> None:
        with StepscoreClient(service.url, timeout=200) as client:
            check_problem_by_problem(client, ITEMS, wanted, first)

    with ThreadPoolExecutor(8) as callers:
        os.kill(victim, signal.SIGSTOP)
        waiting = [callers.submit(score_often, number) for number in range(16)]
        time.sleep(2)
        assert not all(future.done() for future in waiting), "some wait for the stopped replica"
        os.kill(victim, signal.SIGKILL)
        for future in waiting:
            future.result(240)
    wait_for_replicas(service, 2, gone=victim)
