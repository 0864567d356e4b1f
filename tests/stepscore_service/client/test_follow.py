"""Following a rollout: rewards while the policy writes, for the tokens that are new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service_case import PROBLEM, connect, live, metric, torch_scorer
from stepscore_service.client import AsyncStepscoreClient, ServiceError, StepReward, StepscoreClient

STEPS = [
    f"Step {n}: she sells {n} + {n} = {n + n} eggs, and {3 * n} more on the day after that one." for n in range(1, 21)
]
TEXT = "\n".join(STEPS)


def pieces(text: str, size: int = 7) -> list[str]:
    """As a policy streams it."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def test_each_step_gets_its_reward_when_it_ends_and_only_new_tokens_are_computed(folder: Path) -> None:
    with live({"tiny": torch_scorer(folder, "tiny")}) as url, StepscoreClient(url) as client, connect(url) as http:
        before = metric(http, "stepscore_tokens_computed_total")
        follower = client.follow(PROBLEM, split="lines")
        arrived: list[tuple[int, int]] = []
        written = 0
        for piece in pieces(TEXT):
            written += len(piece)
            arrived += [(step.index, written - step.span[1]) for step in follower.feed(piece)]
        arrived += [(step.index, 0) for step in follower.finish()]
        computed = metric(http, "stepscore_tokens_computed_total") - before
        whole = client.score(PROBLEM, STEPS, include=["tokens"])
    assert [index for index, _ in arrived] == list(range(20))
    assert all(late <= 8 for _, late in arrived), "a reward comes with the first piece of the next step"
    assert [step.text for step in follower.steps] == STEPS
    assert [step.reward for step in follower.steps] == pytest.approx(whole.rewards, abs=1e-5)
    assert computed <= 1.05 * whole.token_count


def test_a_rollout_can_end_early(url: str) -> None:
    with StepscoreClient(url) as client:
        rewards = client.score(PROBLEM, STEPS).rewards
        lowest = sorted(rewards[:10])[0]
        follower = client.follow(PROBLEM, split="lines", stop_below=lowest + 1e-6)
        for piece in pieces(TEXT):
            follower.feed(piece)
            if follower.should_stop:
                break
    assert follower.should_stop
    assert len(follower.steps) == rewards.index(lowest) + 1
    assert not client.follow(PROBLEM).should_stop


def test_steps_that_a_later_word_changes_are_reported_again(url: str) -> None:
    """Lines are steps until a blank line shows that paragraphs are."""
    text = "a = 1\nb = 2\nc = 3\n\nd = 4\n\ne = 5"
    with StepscoreClient(url) as client:
        follower = client.follow(PROBLEM)
        seen: list[StepReward] = []
        for piece in pieces(text, 1):
            seen += follower.feed(piece)
        seen += follower.finish()
        whole = client.score(PROBLEM, solution=text)
    assert [step.span for step in follower.steps] == whole.spans
    assert [step.reward for step in follower.steps] == pytest.approx(whole.rewards, abs=1e-5)
    assert len(seen) > len(follower.steps)


async def test_many_rollouts_are_followed_at_once(url: str) -> None:
    async with AsyncStepscoreClient(url) as client:
        followers = [client.follow(f"{PROBLEM} {n}", split="lines") for n in range(3)]
        for piece in pieces(TEXT, 40):
            for follower in followers:
                await follower.feed(piece)
        last = [await follower.finish() for follower in followers]
    assert [len(follower.steps) for follower in followers] == [20, 20, 20]
    assert all(len(steps) == 1 for steps in last)


def test_a_text_without_a_step_is_an_error_at_its_end_only(url: str) -> None:
    with StepscoreClient(url) as client:
        follower = client.follow(PROBLEM, split="lines")
        assert follower.feed("\n \n ") == []
        with pytest.raises(ServiceError, match="no_steps"):
            follower.finish()


@pytest.mark.parametrize("solution", [{"steps": STEPS[:4]}, {"solution": "\n".join(STEPS[:4]), "split": "lines"}])
def test_an_unfinished_step_is_not_scored(http: httpx.Client, solution: dict[str, object]) -> None:
    whole = http.post("/score", json={"problem": PROBLEM, "steps": STEPS[:3], "include": ["logits", "spans"]}).json()
    body = {"problem": PROBLEM, **solution, "partial": True, "include": ["logits", "spans"]}
    partial = http.post("/score", json=body).json()
    assert partial["rewards"] == pytest.approx(whole["rewards"], abs=1e-6)
    assert (len(partial["spans"]), partial["weakest_step"]) == (3, whole["weakest_step"])
    later = http.post("/score", json={**body, "from_step": 2}).json()
    assert later["rewards"] == partial["rewards"][2:]
    assert later["logits"] == partial["logits"][2:]
    assert (later["from_step"], later["score"], later["spans"]) == (2, partial["score"], partial["spans"])
    assert http.post("/score", json={**body, "from_step": 3}).json()["rewards"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda body: body | {"steps": ["unfinished"]}, "no_steps"),
        (lambda body: body | {"from_step": -1}, "invalid_request"),
        (lambda body: {"items": [body], "partial": True}, "invalid_request"),
    ],
)
def test_what_cannot_be_partial_is_an_error(
    http: httpx.Client, change: Callable[[dict[str, object]], object], code: str
) -> None:
    answer = http.post("/score", json=change({"problem": PROBLEM, "steps": STEPS[:2], "partial": True}))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
