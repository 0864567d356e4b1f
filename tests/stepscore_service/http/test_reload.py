"""Weights change under load: no answer is lost, and each comes whole from the weights that its revision names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import checkpoints
from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric, torch_scorer
from stepscore.types import Reading, Solution
from stepscore_service.client import ServiceError, StepscoreClient
from stepscore_service.commands.cli import app

OPEN = {"allow_reload": True, "device": "cpu", "dtype": "float32"}
SOLUTIONS = [Solution(PROBLEM, (*STEPS[:1], f"She makes 9 * {n} = ${9 * n} every day.")) for n in range(6)]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.qwen_math(tmp_path_factory.mktemp("other") / "retrained", seed=7)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.token_classification(tmp_path_factory.mktemp("stranger") / "trained")


def offline(folder: Path) -> tuple[str, list[tuple[float, ...]]]:
    scorer = torch_scorer(folder, "offline", mode="reference")
    readings = scorer.score(SOLUTIONS)
    return scorer.info.revision, [each.rewards for each in readings if isinstance(each, Reading)]


def answers(url: str, number: int, going: Callable[[], bool]) -> Iterator[tuple[int, str, list[float]]]:
    """Asks until it is told to stop, and once more."""
    with StepscoreClient(url) as client:
        last = False
        while not last:
            last = not going()
            answer = client.score(SOLUTIONS[number].problem, list(SOLUTIONS[number].steps))
            yield number, answer.revision, answer.rewards


def test_under_load_every_answer_is_that_of_the_weights_it_names(folder: Path, other: Path) -> None:
    expected = dict(map(offline, (folder, other)))
    going = threading.Event()
    going.set()
    with live({"tiny": torch_scorer(folder, "tiny")}, **OPEN) as url, ThreadPoolExecutor(4) as callers:
        asked = [callers.submit(list, answers(url, number, going.is_set)) for number in range(4)]
        with StepscoreClient(url) as client:
            revisions = [client.reload("tiny", str(path)).revision for path in (other, folder, other)]
        going.clear()
        found = [each for future in asked for each in future.result()]
    assert revisions[0] == revisions[2] != revisions[1]
    assert {revision for _, revision, _ in found} == set(expected)
    for number, revision, rewards in found:
        assert rewards == pytest.approx(expected[revision][number], abs=1e-5)


def test_a_request_that_met_the_old_weights_is_answered_by_them(folder: Path, other: Path) -> None:
    slow = fake_scorer(folder, "tiny", seconds_per_token=0.05)
    with live({"tiny": slow}, **OPEN) as url, ThreadPoolExecutor(1) as caller, StepscoreClient(url) as client:
        before = caller.submit(client.score, PROBLEM, STEPS)
        with connect(url) as http:
            while not metric(http, "stepscore_requests_running") > 0:
                pass
        swapped = client.reload("tiny", str(other))
        # The reload answers when the old weights are free: their answer needs no further forward, which takes longer.
        assert before.result(timeout=2).revision == swapped.previous_revision
        assert client.score(PROBLEM, STEPS).revision == swapped.revision == client.models()[0].revision


def test_what_cannot_be_opened_changes_nothing(folder: Path, tmp_path: Path) -> None:
    with live({"tiny": torch_scorer(folder, "tiny")}, **OPEN) as url, connect(url) as http:
        before = http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json()
        refused = http.post("/v1/models/tiny/reload", json={"path": str(tmp_path)})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_checkpoint")
        assert http.post("/v1/models/tiny/reload", json={}).json()["code"] == "bad_checkpoint"
        assert http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json() == before
        assert metric(http, "stepscore_reloads_total", model="tiny", outcome="refused") == 2


def test_weights_that_score_nothing_are_refused_and_the_old_ones_serve(folder: Path, tmp_path: Path) -> None:
    """Half-written or diverged weights are pushed to a running server: it must not turn ready with them."""
    spoilt = checkpoints.qwen_math(tmp_path / "spoilt")
    (file,) = spoilt.glob("*.safetensors")
    state = load_file(file)
    state["model.norm.weight"].fill_(float("nan"))
    save_file(state, file, metadata={"format": "pt"})
    with live({"tiny": torch_scorer(folder, "tiny")}, **OPEN) as url, connect(url) as http:
        before = http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json()
        refused = http.post("/v1/models/tiny/reload", json={"path": str(spoilt)})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_checkpoint")
        assert "not finite" in refused.json()["message"]
        assert http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json() == before


def test_another_family_is_refused_with_both_names(folder: Path, stranger: Path) -> None:
    with live({"tiny": torch_scorer(folder, "tiny")}, **OPEN) as url, connect(url) as http:
        before = http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json()
        refused = http.post("/v1/models/tiny/reload", json={"path": str(stranger)})
        assert (refused.status_code, refused.json()["code"]) == (409, "another_family")
        assert refused.json()["detail"] == {"model": "tiny", "served": "qwen_math", "found": "token_classification"}
        assert http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).json() == before
        assert metric(http, "stepscore_reloads_total", model="tiny", outcome="refused") == 1


def test_the_same_path_again_and_the_metrics_of_it(folder: Path) -> None:
    scorers = {"tiny": torch_scorer(folder, "tiny")}
    with live(scorers, **OPEN, models=(f"tiny={folder}",)) as url, connect(url) as http:
        again = http.post("/v1/models/tiny/reload", json={})
        assert again.status_code == 200, again.text
        assert again.json()["revision"] == again.json()["previous_revision"]
        assert metric(http, "stepscore_reloads_total", model="tiny", outcome="done") == 1
        assert metric(http, "stepscore_model_info", revision=again.json()["revision"]) == 1


@pytest.mark.parametrize(
    ("settings", "header", "status", "code"),
    [
        ({}, "", 403, "reload_disabled"),
        ({**OPEN, "admin_token": "good"}, "", 401, "not_authorised"),
        ({**OPEN, "admin_token": "good"}, "Bearer bad", 401, "not_authorised"),
        ({**OPEN, "reload_folder": "/nowhere"}, "", 403, "path_not_allowed"),
    ],
)
def test_who_may_not(folder: Path, settings: dict[str, object], header: str, status: int, code: str) -> None:
    with live({"tiny": fake_scorer(folder, "tiny")}, **settings) as url, connect(url) as http:
        headers = httpx.Headers({"Authorization": header} if header else {})
        answer = http.post("/v1/models/tiny/reload", json={"path": str(folder)}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_tokens_are_counted_on_over_a_reload(folder: Path, other: Path) -> None:
    names = ("stepscore_prompt_tokens_total", "stepscore_tokens_computed_total")
    one = {"problem": PROBLEM, "steps": STEPS}
    with live({"tiny": fake_scorer(folder, "tiny")}, **OPEN) as url, connect(url) as http:
        tokens = http.post("/score", json=one).json()["token_count"]
        for path in (other, folder):
            before = [metric(http, name, model="tiny") for name in names]
            assert http.post("/v1/models/tiny/reload", json={"path": str(path)}).status_code == 200
            after = [metric(http, name, model="tiny") for name in names]
            assert all(now >= then > 0 for now, then in zip(after, before, strict=True))
            http.post("/score", json=one)
            assert metric(http, names[0], model="tiny") == after[0] + tokens


def test_push_from_the_command_line(folder: Path, other: Path) -> None:
    with live({"tiny": fake_scorer(folder, "tiny")}, **OPEN, admin_token="good") as url:
        refused = CliRunner().invoke(app, ["push", str(other), "--url", url])
        assert (refused.exit_code, "not_authorised" in refused.stderr) == (3, True)
        done = CliRunner().invoke(app, ["push", str(other), "--url", url, "--token", "good"])
        assert done.exit_code == 0, done.stderr
        with StepscoreClient(url) as client:
            assert client.models()[0].revision in done.stderr
            with pytest.raises(ServiceError, match="unknown_model"):
                client.reload("none", str(other), token="good")
