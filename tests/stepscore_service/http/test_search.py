"""POST /search over a live service: events as they happen, errors as events, an end when the client leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from search_case import DicePolicy, PlainText
from service_case import connect, fake_scorer, live
from stepscore.errors import GeneratorError
from stepscore.generate.protocol import Completion, Request
from stepscore_service.serving.search import SEARCHES, PolicyServer


class SlowPolicy(DicePolicy):
    """calls: how often it was asked. dies: it cannot answer."""

    dies = False

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        if self.dies:
            raise GeneratorError("the policy went away")
        time.sleep(0.02)
        return super().generate(requests)


@pytest.fixture
def policy() -> SlowPolicy:
    return SlowPolicy(0.8, 4)


@pytest.fixture
def client(folder: Path, policy: SlowPolicy) -> Iterator[httpx.Client]:
    with (
        live({"fake": fake_scorer(folder)}, search_policy=PolicyServer(policy, PlainText())) as url,
        connect(url) as http,
    ):
        yield http


def events(client: httpx.Client, **body: Any) -> list[tuple[str, Any]]:
    with client.stream("POST", "/search", json={"problem": "What is 3 + 4?", **body}) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        text = "".join(response.iter_text())
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.mark.parametrize(
    ("method", "options"), [("beam", {"n": 4, "width": 2}), ("best_of_n", {"n": 3}), ("mcts", {"simulations": 4})]
)
def test_nodes_come_before_the_result_that_names_one_of_them(
    client: httpx.Client, method: str, options: dict[str, int]
):
    *steps, (last, result) = events(client, method=method, options=options)
    assert last == "result"
    assert {name for name, _ in steps} == {"nodes"}
    nodes = {node["id"]: node for _, data in steps for node in data["nodes"]}
    assert all(node["parent"] == 0 or node["parent"] in nodes for node in nodes.values())
    chosen = nodes[result["chosen"]]
    assert chosen["status"] == "finished"
    assert result["solution"].endswith(chosen["text"])
    assert result["answer"] in {"0", "1"}
    assert result["model"] == "fake"
    assert any(node["reward"] is not None for node in nodes.values())


def test_the_same_seed_gives_the_same_search(client: httpx.Client):
    first, second = (events(client, method="dvts", options={"n": 4, "width": 2}, seed=7)[-1] for _ in range(2))
    assert first == second


def test_a_client_that_leaves_stops_the_search_within_a_step(client: httpx.Client, policy: SlowPolicy):
    body = {"problem": "What is 3 + 4?", "method": "mcts", "options": {"simulations": 100_000}}
    with client.stream("POST", "/search", json=body) as response:
        for number, _ in enumerate(response.iter_text()):
            if number == 5:
                break
    left = policy.calls
    deadline = time.monotonic() + 20
    settled = -1
    while settled != policy.calls and time.monotonic() < deadline:
        settled = policy.calls
        time.sleep(0.5)
    assert settled == policy.calls
    assert policy.calls - left <= 3


def test_a_search_that_finds_nothing_says_why(client: httpx.Client):
    name, data = events(client, method="beam", options={"n": 2, "width": 2}, budget_tokens=1)[-1]
    assert (name, data["solution"], data["stopped"]) == ("result", None, "tokens")
    assert "raise the budget" in data["reason"]


def test_a_policy_that_fails_is_an_error_event(client: httpx.Client, policy: SlowPolicy):
    policy.dies = True
    [(name, data)] = events(client, method="greedy")
    assert name == "error"
    assert data["code"] == "generator_failed"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"method": "bestofn"}, "invalid_option"),
        ({"method": "beam", "options": {"n": 6, "width": 4}}, "invalid_option"),
        ({"method": "beam", "options": {"breadth": 4}}, "invalid_option"),
        ({"method": "best_of_n", "options": {"n": "eight"}}, "invalid_option"),
        ({"method": "rebase", "options": {"temperature": 0}}, "invalid_option"),
        ({"method": "majority", "choice": "score"}, "invalid_option"),
        ({"aggregate": "median"}, "unknown_aggregate"),
        ({"choice": "banana"}, "invalid_request"),
        ({"model": "other"}, "unknown_model"),
        ({"problem": ""}, "invalid_request"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_it_starts(client: httpx.Client, body: dict[str, Any], code: str):
    answer = client.post("/search", json={"problem": "What is 3 + 4?", **body})
    assert answer.status_code == 422
    assert answer.json()["code"] == code


def test_a_service_without_a_policy_says_how_to_get_one(http: httpx.Client):
    answer = http.post("/search", json={"problem": "What is 3 + 4?"})
    assert answer.status_code == 404
    assert answer.json()["code"] == "no_policy"
    assert "--policy" in answer.json()["message"]


def test_a_search_wider_than_a_rerank_is_refused(client: httpx.Client):
    body = {"problem": "What is 3 + 4?", "method": "best_of_n", "options": {"n": 10**9}}
    answer = client.post("/search", json=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_items")


def test_more_searches_than_run_at_a_time_are_refused_and_scoring_goes_on(client: httpx.Client):
    body = {"problem": "What is 3 + 4?", "method": "mcts", "options": {"simulations": 100_000}}
    with ExitStack() as stack:
        streams = []  # kept, because a generator that is forgotten closes its answer
        for _ in range(SEARCHES):
            streams.append(stack.enter_context(client.stream("POST", "/search", json=body)).iter_text())
            next(streams[-1])
        refused = client.post("/search", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        scored = client.post(
            "/rerank", json={"problem": "p", "candidates": ["1 + 1 = 2", "1 + 1 = 3"], "vote": "majority"}
        )
        assert scored.status_code == 200
    deadline = time.monotonic() + 20
    while (after := client.post("/search", json=body | {"method": "greedy", "options": {}})).status_code == 503:
        assert time.monotonic() < deadline
    assert after.status_code == 200
