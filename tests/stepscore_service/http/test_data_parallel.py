"""Two engines behind one address: the rewards of one engine, and no request lost when one of them is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import checkpoints
from service_case import connect, items_of_problems, live, metric, offline_rewards
from stepscore.scoring.replicated import ReplicatedScorer
from stepscore_service.client import StepscoreClient
from stepscore_service.serving.model_pool import open_scorers
from stepscore_service.settings import Settings

RUN = {"device": "cpu", "dtype": "float32", "kv_cache_bytes": 1 << 20, "threads": 1, "data_parallel": 2}
ITEMS = items_of_problems(12)


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[tuple[ReplicatedScorer, str]]:
    """A service whose replicas the tests may kill, because they are opened again."""
    scorers = open_scorers(Settings(models=f"tiny={folder}", **RUN))
    scorer = scorers["tiny"]
    assert isinstance(scorer, ReplicatedScorer)
    with live(scorers, allow_reload=True, **RUN) as url:
        yield scorer, url


@pytest.fixture
def http(served: tuple[ReplicatedScorer, str]) -> Iterator[httpx.Client]:
    with connect(served[1]) as client:
        yield client


def rewards(client: httpx.Client) -> list[list[float]]:
    answer = client.post("/score", json={"items": ITEMS})
    answer.raise_for_status()
    return [result["rewards"] for result in answer.json()["results"]]


def wait_for_engines(client: httpx.Client, working: int) -> None:
    until = time.monotonic() + 60
    while client.get("/health/ready").json()["engines_working"] != working:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_rewards_are_those_of_one_engine_and_both_engines_work(
    served: tuple[ReplicatedScorer, str], http: httpx.Client, folder: Path
) -> None:
    for found, wanted in zip(rewards(http), offline_rewards(folder, ITEMS), strict=True):
        assert found == pytest.approx(wanted, abs=1e-5)
    each = [replica.counts().computed for replica in served[0].replicas]
    assert min(each) > 0.2 * sum(each), "twelve problems fall on both engines"
    assert metric(http, "stepscore_tokens_computed_total", model="tiny") == sum(each)
    assert http.get("/health/ready").json() == {"state": "ready", "engines": 2, "engines_working": 2}


def test_a_problem_that_comes_again_meets_the_engine_that_knows_it(
    served: tuple[ReplicatedScorer, str], http: httpx.Client
) -> None:
    rewards(http)
    before = served[0].counts().computed
    rewards(http)
    assert served[0].counts().computed == before


def test_a_rerank_is_computed_by_one_engine(served: tuple[ReplicatedScorer, str], http: httpx.Client) -> None:
    before = [replica.counts().prompt for replica in served[0].replicas]
    body = {"problem": "Which is it?", "candidates": [f"It is {n}." for n in range(8)]}
    http.post("/rerank", json=body).raise_for_status()
    after = [replica.counts().prompt for replica in served[0].replicas]
    assert sum(first != second for first, second in zip(before, after, strict=True)) == 1


def test_what_a_killed_engine_leaves_is_computed_by_the_other_and_it_is_opened_again(
    served: tuple[ReplicatedScorer, str], http: httpx.Client, folder: Path
) -> None:
    scorer, url = served
    wanted = offline_rewards(folder, ITEMS)
    victim = scorer.replicas[0]
    os.kill(victim.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(4) as callers, connect(url) as one, connect(url) as other:
        waiting = [callers.submit(rewards, client) for client in (one, other)]
        time.sleep(0.3)
        os.kill(victim.pid, signal.SIGKILL)
        for future in waiting:
            for found, expected in zip(future.result(60), wanted, strict=True):
                assert found == pytest.approx(expected, abs=1e-5)
    assert http.get("/health/live").status_code == 200
    wait_for_engines(http, 2)
    assert scorer.replicas[0].pid != victim.pid
    assert metric(http, "stepscore_engines_working", model="tiny") == 2
    for found, expected in zip(rewards(http), wanted, strict=True):
        assert found == pytest.approx(expected, abs=1e-5)


def test_new_weights_reach_every_engine(
    served: tuple[ReplicatedScorer, str], http: httpx.Client, tmp_path: Path
) -> None:
    other = checkpoints.qwen_math(tmp_path / "retrained", seed=7)
    with StepscoreClient(served[1]) as client:
        swapped = client.reload("tiny", str(other))
    assert swapped.revision != swapped.previous_revision
    for found, wanted in zip(rewards(http), offline_rewards(other, ITEMS), strict=True):
        assert found == pytest.approx(wanted, abs=1e-5)
    assert all(replica.fault() for replica in served[0].replicas), "the old processes have ended"


def test_when_every_engine_is_dead_each_request_gets_an_error_and_the_probes_fail(folder: Path) -> None:
    scorers = open_scorers(Settings(models=f"tiny={folder}", **RUN))
    scorer = scorers["tiny"]
    assert isinstance(scorer, ReplicatedScorer)
    with live(scorers, **RUN) as url, connect(url) as http:
        for replica in scorer.replicas:
            replica.kill()
        while not all(replica.fault() for replica in scorer.replicas):
            time.sleep(0.01)
        answer = http.post("/score", json=ITEMS[0])
        assert answer.status_code == 503
        assert answer.json()["code"] == "engine_dead"
        assert http.get("/health/live").json() == {"state": "dead", "engines": 2, "engines_working": 0}
