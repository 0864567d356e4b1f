"""The client against a live service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest

from service_case import PROBLEM, STEPS
from stepscore_service.client import AsyncStepscoreClient, ServiceError, StepscoreClient
from stepscore_service.client.asynchronous import session_headers
from stepscore_service.schemas.reward import RewardAnswer, RewardAnswers
from stepscore_service.schemas.score import FailedItem, ScoreAnswer


def test_it_scores_and_reranks(url: str) -> None:
    with StepscoreClient(url) as client:
        assert client.ready()
        assert [model.id for model in client.models()] == ["tiny", "fake"]
        one = client.score(PROBLEM, STEPS, include=["logits"])
        assert len(one.rewards) == len(one.logits) == 2
        text = client.score(PROBLEM, solution="\n".join(STEPS), split="lines", aggregate="min")
        assert text.score == min(text.rewards)
        many = client.score_items([{"problem": PROBLEM, "steps": STEPS}, {"problem": PROBLEM, "steps": []}])
        assert [type(each) for each in many.results] == [ScoreAnswer, FailedItem]
        ranked = client.rerank(PROBLEM, ["so 7", STEPS], top_n=1)
        assert len(ranked.results) == 1


def test_it_rewards_rollouts_sync_and_async(url: str) -> None:
    text = "\n".join(STEPS)
    items = [{"problem": PROBLEM, "solution": text, "answer": "18"}, {"problem": PROBLEM, "solution": ""}]
    offsets = [[place, place + 1] for place in range(len(text))]
    with StepscoreClient(url) as client:
        found = client.reward([{**items[0], "offsets": offsets}, items[1]], shape="delta", blend={"gate": 0.0})
        with pytest.raises(TypeError, match="list"):
            client.reward(items[0])  # type: ignore[arg-type]
        with pytest.raises(ServiceError, match="reference"):
            client.reward(items, shape="progress")
    first, second = found.results
    assert isinstance(first, RewardAnswer)
    assert isinstance(second, FailedItem)
    assert first.outcome is not None
    assert first.outcome.outcome == "right"
    assert len(first.token_rewards) == len(text)
    assert first.total == pytest.approx(first.steps[-1].reward + 1.0)

    async def ask() -> RewardAnswers:
        async with AsyncStepscoreClient(url) as client:
            return await client.reward(items[:1], shape="delta", blend={"gate": 0.0}, policy_version="v1")

    (again,) = asyncio.run(ask()).results
    assert isinstance(again, RewardAnswer)
    assert again.total == pytest.approx(first.total, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "one"),
    [
        ({"problem": "1+1?", "steps": ["2"]}, True),
        ({"items": [{"problem": "1+1?", "steps": ["2"]}, {"problem": "1+1?", "steps": ["3"]}], "model": "m"}, True),
        ({"items": [{"problem": "1+1?", "steps": ["2"]}, {"problem": "1+2?", "steps": ["3"]}]}, False),
        ({"items": []}, False),
        ({"query": ["1+1? 2"]}, False),
    ],
)
def test_requests_about_one_problem_carry_one_session(body: dict[str, object], one: bool) -> None:
    session = session_headers({"problem": "1+1?", "candidates": ["2", "3"]})
    assert set(session) == {"X-Session-Id"}
    assert session_headers(body) == (session if one else {})
    assert session_headers({"problem": "1+2?", "steps": ["3"]}) != session


def test_it_raises_what_the_service_says(url: str) -> None:
    with StepscoreClient(url) as client, pytest.raises(ServiceError) as caught:
        client.score(PROBLEM, ["a", ""])
    assert (caught.value.status, caught.value.code, caught.value.detail) == (422, "empty_step", {"step": 1})


def test_an_answer_that_is_not_ours_keeps_its_status(url: str) -> None:
    with StepscoreClient(f"{url}/docs-assets") as client, pytest.raises(ServiceError) as caught:
        client.models()
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.score("4+3?", "4+3=7"),
        lambda client: client.score("4+3?", {"0": "4+3=7"}),
        lambda client: client.score("4+3?"),
        lambda client: client.score("4+3?", ["4+3=7"], solution="4+3=7"),
        lambda client: client.score_items({"problem": "4+3?", "steps": ["4+3=7"]}),
        lambda client: client.score_items(["4+3=7"]),
        lambda client: client.score_items([{"problem": "4+3?", "steps": "4+3=7"}]),
        lambda client: client.rerank("4+3?", "4+3=7"),
        lambda client: client.score("4+3?", {"4+3=7", "7"}),
        lambda client: client.score("4+3?", b"4+3=7"),
        lambda client: client.score("4+3?", 7),
        lambda client: client.score("4+3?", [["4+3=7"]]),
        lambda client: client.score("4+3?", ["4+3=7", None]),
        lambda client: client.score_items([{"problem": "4+3?", "steps": ["4+3=7", 7]}]),
        lambda client: client.score_items([{"problem": "4+3?", "steps": frozenset({"4+3=7"})}]),
        lambda client: client.rerank("4+3?", {"a": "4+3=7"}),
        lambda client: client.rerank("4+3?", ["4+3=7", 7]),
        lambda client: client.rerank("4+3?", [["4+3=7", 7]]),
    ],
)
def test_what_is_not_a_list_of_texts_is_a_type_error(call: Callable[[StepscoreClient], object]) -> None:
    with StepscoreClient("http://127.0.0.1:1") as client, pytest.raises(TypeError):
        call(client)


LONE = "so \ud83d = 7"


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda client: client.score(LONE, ["4+3=7"]), "problem"),
        (lambda client: client.score("4+3?", ["4+3=7", LONE]), "steps.1"),
        (lambda client: client.score("4+3?", solution=LONE), "solution"),
        (lambda client: client.score_items([{"problem": "4+3?", "solution": each} for each in ("7", LONE)]), "items.1"),
        (lambda client: client.rerank("4+3?", ["7", LONE]), "candidates.1"),
    ],
)
def test_a_lone_surrogate_is_named_before_anything_is_sent(
    call: Callable[[StepscoreClient], object], where: str
) -> None:
    with StepscoreClient("http://127.0.0.1:1") as client, pytest.raises(ValueError, match=f"^{where}.* lone surrogate"):
        call(client)


async def test_a_call_that_cannot_be_sent_fails_alone(url: str) -> None:
    async with AsyncStepscoreClient(url) as client:
        calls = [client.score(PROBLEM, [each]) for each in (STEPS[0], LONE, float("nan"), STEPS[1])]
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in found] == [ScoreAnswer, ValueError, TypeError, ScoreAnswer]


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8000", "localhost:8000", "prm.example", "ftp://prm", "http://", "", "http://[::1"]
)
@pytest.mark.parametrize("kind", [StepscoreClient, AsyncStepscoreClient])
def test_an_address_without_scheme_or_host_is_refused_at_once(kind: type, address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        kind(address)


def test_what_cannot_be_sent_is_not_sent_again(url: str) -> None:
    with StepscoreClient(url, cache_salt="line\nbreak", timeout=30) as client:
        started = time.monotonic()
        with pytest.raises(httpx.LocalProtocolError):
            client.score(PROBLEM, STEPS)
        assert time.monotonic() - started < 10
