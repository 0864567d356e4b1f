"""The client against a live service."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service_case import PROBLEM, STEPS
from stepscore_service.client import ServiceError, StepscoreClient
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
    ],
)
def test_one_text_in_place_of_a_list_is_a_type_error(call: Callable[[StepscoreClient], object]) -> None:
    with StepscoreClient("http://127.0.0.1:1") as client, pytest.raises(TypeError):
        call(client)
