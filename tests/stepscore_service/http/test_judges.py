"""/score of judges: a rationale for each step, and errors of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import checkpoints_judges
from fake_generator import FakeGenerator
from service_case import PROBLEM, STEPS, connect, live
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.family.registry import bind, family_named
from stepscore.generate.protocol import Prompt, Sampling
from stepscore.scoring.judge_scorer import JudgeScorer, open_judge
from stepscore.scoring.open import open_scorer
from stepscore_service.settings import Settings

CPU = EngineOptions(device="cpu", dtype="float32")


def critic(folder: Path, *critiques: str) -> JudgeScorer:
    def script(prompt: Prompt, sampling: Sampling) -> list[str]:
        return list(critiques)

    family, facts = family_named("critic"), read_facts(folder)
    parts = bind(family, facts, {"n": str(len(critiques))})
    return open_judge("critic", family, facts, parts, CPU, FakeGenerator(script))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = checkpoints_judges.judge(tmp_path_factory.mktemp("judges") / "ThinkPRM-tiny")
    scorers = {
        "critic": critic(folder, "fine \\boxed{-1}", "wrong: \\boxed{1}", "\\boxed{1}", "no idea"),
        "silent": critic(folder, "no idea"),
        "think": open_scorer(str(folder), name="think", options=CPU, family_options={"max_tokens": "4"}),
    }
    with live(scorers) as url, connect(url) as connected:
        yield connected


def test_a_judge_returns_rationales(client: httpx.Client) -> None:
    body = client.post("/score", json={"model": "critic", "problem": PROBLEM, "steps": STEPS}).raise_for_status().json()
    assert body["rewards"] == pytest.approx([1.0, 1 / 3])
    assert body["rationales"] == ["wrong: \\boxed{1}"] * 2
    assert body["first_error"] == 1
    assert body["extras"]["voted"] == [0.0, 1.0]


def test_a_judge_that_generates_in_process_is_served(client: httpx.Client) -> None:
    body = client.post("/score", json={"model": "think", "problem": PROBLEM, "steps": STEPS}).raise_for_status().json()
    assert len(body["rewards"]) == len(body["rationales"]) == 2
    again = client.post("/score", json={"model": "think", "problem": PROBLEM, "steps": STEPS}).json()
    assert again["rewards"] == body["rewards"]


def test_a_judge_without_a_verdict_is_an_error(client: httpx.Client) -> None:
    answer = client.post("/score", json={"model": "silent", "problem": PROBLEM, "steps": STEPS})
    assert answer.status_code == 502
    assert "no_verdict" in answer.text


def test_the_setting_reaches_the_engine() -> None:
    assert (
        Settings(generator="openai:http://localhost:1/v1").engine_options().generator == "openai:http://localhost:1/v1"
    )
