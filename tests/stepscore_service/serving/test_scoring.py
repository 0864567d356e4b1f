"""/score over HTTP: what comes back, and that company changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from service_case import PROBLEM, STEPS, connect, live, torch_scorer
from stepscore.types import Reading, Solution

ONE = {"problem": PROBLEM, "steps": STEPS}
FIELDS = {
    *("rewards", "score", "aggregate", "aggregates", "weakest_step", "first_error", "threshold", "token_count"),
    *("model", "revision", "dtype"),
}


def answer_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_rewards_are_those_of_the_library(http: httpx.Client, folder: Path) -> None:
    (reading,) = torch_scorer(folder, "tiny").score([Solution(PROBLEM, tuple(STEPS))])
    assert isinstance(reading, Reading)
    body = answer_of(http.post("/score", json=ONE))
    assert body["rewards"] == pytest.approx(reading.rewards, abs=1e-6)
    assert set(body) == FIELDS


def test_everything_else_follows_from_the_rewards(http: httpx.Client) -> None:
    body = answer_of(http.post("/score", json=ONE))
    first, second = body["rewards"]
    assert body["aggregate"] == "prod"
    assert body["score"] == body["aggregates"]["prod"] == pytest.approx(first * second)
    assert body["aggregates"]["min"] == min(first, second) == body["rewards"][body["weakest_step"]]
    assert {"mean", "last", "geometric_mean", "weighted_mean", "soft_min"} < set(body["aggregates"])


def test_the_threshold_decides_the_first_error(http: httpx.Client) -> None:
    assert answer_of(http.post("/score", json=ONE | {"threshold": 0.0}))["first_error"] is None
    assert answer_of(http.post("/score", json=ONE | {"threshold": 1.0}))["first_error"] == 0


def test_the_aggregate_can_be_chosen(http: httpx.Client) -> None:
    body = answer_of(http.post("/score", json=ONE | {"aggregate": "min"}))
    assert (body["aggregate"], body["score"]) == ("min", min(body["rewards"]))


def test_a_text_is_split_and_its_spans_point_at_the_steps(http: httpx.Client) -> None:
    text = "\n  ".join(STEPS) + "\n"
    body = answer_of(http.post("/score", json={"problem": PROBLEM, "solution": text, "split": "lines"}))
    assert [text[start:end] for start, end in body["spans"]] == STEPS
    assert body["rewards"] == answer_of(http.post("/score", json=ONE))["rewards"]


def test_what_is_included_on_request(http: httpx.Client) -> None:
    body = answer_of(http.post("/score", json=ONE | {"include": ["logits", "spans", "tokens"]}))
    joined = "".join(STEPS)
    assert set(body) == FIELDS | {"logits", "spans", "tokens"}
    assert [joined[start:end] for start, end in body["spans"]] == STEPS
    assert [len(row) for row in body["logits"]] == [2, 2]
    (sequence,) = body["tokens"]
    assert len(sequence["ids"]) == body["token_count"]
    assert len(sequence["reads"]) == 2


def test_items_come_back_in_order(http: httpx.Client) -> None:
    alone = answer_of(http.post("/score", json=ONE))
    other = {"problem": PROBLEM, "solution": STEPS[0]}
    body = answer_of(http.post("/v1/score", json={"items": [other, ONE, other], "model": "tiny"}))
    assert [each["index"] for each in body["results"]] == [0, 1, 2]
    assert body["results"][1] | {"index": None} == alone | {"index": None}
    assert body["results"][0]["rewards"] == body["results"][2]["rewards"]


def test_no_items_are_no_error(http: httpx.Client) -> None:
    assert answer_of(http.post("/score", json={"items": []}))["results"] == []


def test_models_are_told_apart(http: httpx.Client) -> None:
    tiny, fake = (answer_of(http.post("/score", json=ONE | {"model": name})) for name in ("tiny", "fake"))
    assert (tiny["model"], fake["model"]) == ("tiny", "fake")
    assert tiny["rewards"] != fake["rewards"]


def test_a_plain_text_separator_in_a_step_is_read_once(separator_folder: Path) -> None:
    with live({"trl": torch_scorer(separator_folder, "trl")}) as url, connect(url) as http:
        body = answer_of(http.post("/score", json={"problem": PROBLEM, "steps": ["3 + 4 = 7\nso 7", "7"]}))
    assert len(body["rewards"]) == 2


def _load(seed: int) -> list[dict[str, Any]]:
    """Requests of many shapes: one solution, texts, items, some of which fail."""
    random = Random(seed)
    words = ["3 + 4 = 7", "Janet sells 9 eggs.", "So she makes $18.", "Step 1: we have x = 3.", "The answer is 18."]

    def solution() -> dict[str, Any]:
        steps = random.choices(words, k=random.randint(0 if random.random() < 0.1 else 1, 6))
        return {"problem": random.choice([PROBLEM, "What is x?"]), "steps": steps}

    def request() -> dict[str, Any]:
        return solution() if random.random() < 0.6 else {"items": [solution() for _ in range(random.randint(1, 8))]}

    return [request() for _ in range(24)]


@pytest.mark.parametrize(("mode", "tolerance"), [("invariant", 0.0), ("fast", 1e-5)])
def test_answers_under_load_are_those_given_alone(folder: Path, mode: str, tolerance: float) -> None:
    requests = _load(seed=7)
    with live({"tiny": torch_scorer(folder, "tiny", mode)}) as url, connect(url) as http:
        alone = [http.post("/score", json=each).json() for each in requests]
        with ThreadPoolExecutor(16) as threads:
            together = list(threads.map(lambda each: http.post("/score", json=each).json(), requests))
    for one, other in zip(alone, together, strict=True):
        _same(one, other, tolerance)


def _same(one: dict[str, Any], other: dict[str, Any], tolerance: float) -> None:
    for mine, theirs in zip(one.get("results", [one]), other.get("results", [other]), strict=True):
        assert mine.get("error") == theirs.get("error")
        assert mine.get("code") == theirs.get("code")
        assert mine.get("rewards", []) == pytest.approx(theirs.get("rewards", []), abs=tolerance, rel=0)
