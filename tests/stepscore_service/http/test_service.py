"""Everything around scoring: models, probes, metrics, documentation, the page, request ids."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from held_scorer import INFO
from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric
from stepscore_service.http.app import ROUTES
from stepscore_service.serving.metrics import Metrics, ModelMetrics

ONE = {"problem": PROBLEM, "steps": STEPS}


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_the_models_and_what_they_are(http: httpx.Client, path: str) -> None:
    tiny, fake = http.get(path).json()["data"]
    assert (tiny["id"], tiny["family"], tiny["engine"], tiny["device"]) == ("tiny", "qwen_math", "torch", "cpu")
    assert tiny["reward_range"] == {"kind": "probability", "low": 0.0, "high": 1.0}
    assert (tiny["max_tokens"], tiny["aggregate"], tiny["threshold"]) == (1024, "prod", 0.5)
    assert fake["id"] == "fake"


def test_probes(http: httpx.Client) -> None:
    engines = {"engines": 2, "engines_working": 2}  # of two models
    assert http.get("/health/live").json() == {"state": "alive", **engines}
    assert http.get("/health/ready").json() == http.get("/health").json() == {"state": "ready", **engines}


def test_requests_batches_and_rewards_are_measured(http: httpx.Client) -> None:
    names = ("requests_total", "errors_total", "forward_seconds_count", "batch_solutions_sum", "step_reward_count")
    before = {name: metric(http, f"stepscore_{name}") for name in names}
    asked = metric(http, "stepscore_prompt_tokens_total", model="tiny")
    answers = http.post("/score", json={"items": [ONE, ONE, {"problem": "p", "steps": []}]}).json()["results"]
    after = {name: metric(http, f"stepscore_{name}") for name in names}
    grown = {name: after[name] - before[name] for name in names}
    assert grown["errors_total"] == 1
    assert grown["batch_solutions_sum"] == 2
    assert grown["step_reward_count"] == 4
    assert grown["forward_seconds_count"] >= 1
    assert metric(http, "stepscore_prompt_tokens_total", model="tiny") - asked == 2 * answers[0]["token_count"]
    assert metric(http, "stepscore_tokens_computed_total", model="tiny") < asked + 2 * answers[0]["token_count"]
    assert metric(http, "stepscore_model_info", model="tiny", family="qwen_math", dtype="float32") == 1
    assert metric(http, "stepscore_requests_total", route="/score", code="200") > 0


def test_the_metrics_are_those_that_the_page_lists(http: httpx.Client) -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    served = dict(re.findall(r"^# TYPE (\w+) (\w+)$", http.get("/metrics").text, re.MULTILINE))
    assert listed == served


def test_labels_and_buckets_are_those_that_the_page_lists() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    metrics = Metrics()
    ModelMetrics(metrics, INFO, 20).count_forward(1, 1, 1.0)
    bounds = {
        match[1]: [float(bound) for bound in re.findall(r"le=\"([-\d.e+]+)\"", match[0])]
        for match in re.finditer(r"(?:^(stepscore_\w+)_bucket\{.*\n)+", metrics.text().decode(), re.MULTILINE)
    }
    seconds = [float(each) for each in re.findall(r"^\| all `_seconds` \| (.*) \|$", page, re.MULTILINE)[0].split(", ")]
    assert bounds["stepscore_forward_seconds"] == seconds
    assert bounds["stepscore_batch_solutions"] == [2.0**power for power in range(13)]
    assert bounds["stepscore_batch_tokens"] == [16 * 2.0**power for power in range(13)]
    assert bounds["stepscore_outcome_gap"] == [step / 10 for step in range(-10, 11)]
    assert len(bounds["stepscore_step_reward"]) == 8 + 21 + 4


def test_every_example_of_the_documentation_runs(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    ran = 0
    for path, methods in paths.items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        for name, example in content.get("application/json", {}).get("examples", {}).items():
            answer = http.post(path, json=example["value"])
            assert answer.status_code == 200, (path, name, answer.text)
            ran += 1
    assert ran >= 6


def test_the_documentation_needs_no_internet(http: httpx.Client) -> None:
    page = http.get("/docs").text
    links = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert links
    for link in links:
        assert link.startswith("/"), link
        assert http.get(link).is_success


def test_the_page_holds_all_that_it_needs(http: httpx.Client) -> None:
    answer = http.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text)
    assert "<form" in answer.text


def test_a_request_id_comes_back(http: httpx.Client) -> None:
    given = http.post("/score", json=ONE, headers={"X-Request-Id": "run-7/step-12"})
    assert given.headers["x-request-id"] == "run-7/step-12"
    made = {http.get("/health/live").headers["x-request-id"] for _ in range(2)}
    assert len(made) == 2
    refused = http.get("/nowhere", headers={"X-Request-Id": "with space"})
    assert re.fullmatch("[0-9a-f]{32}", refused.headers["x-request-id"])


def test_every_error_is_documented(http: httpx.Client) -> None:
    document: dict[str, Any] = http.get("/openapi.json").json()
    answers = document["paths"]["/score"]["post"]["responses"]
    assert set(answers) >= {"200", "413", "415", "422", "500", "503", "504"}
    for status, answer in answers.items():
        if status != "200":
            assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")


def test_behind_a_proxy_the_links_have_its_path(folder: Path) -> None:
    with live({"fake": fake_scorer(folder)}, root_path="/prm") as url, connect(url) as http:
        assert http.post("/score", json=ONE).is_success
        assert "/prm/openapi.json" in http.get("/docs").text
        assert "/prm/docs-assets/swagger-ui.css" in http.get("/docs").text
        assert http.get("/openapi.json").json()["servers"] == [{"url": "/prm"}]


def test_no_route_and_no_dependency_hops_through_a_thread() -> None:
    """A synchronous one runs on another thread, which waits for the interpreter's lock beside every forward."""
    routes = [each for module in ROUTES for each in module.router.routes if isinstance(each, APIRoute)]
    waiting = [route.dependant for route in routes]
    calls = set()
    while waiting:
        each = waiting.pop()
        calls.add(each.call)
        waiting += each.dependencies
    assert len(calls) > len(routes)
    assert [call for call in calls if not inspect.iscoroutinefunction(call)] == []


def test_paths_and_names_of_callers_make_no_new_series(http: httpx.Client) -> None:
    """A scanner would otherwise fill the memory of Prometheus, and ours."""

    def knock(first: int) -> int:
        for number in range(first, first + 20):
            named = {"X-Policy-Version": f"v{number}", "X-Tenant": f"t{number}"}
            http.get(f"/{number}.php")
            http.post(f"/v1/models/m{number}/reload", json={"path": "x"})
            http.post("/score", json={"problem": "p", "steps": ["a"], "model": f"m{number}"})
            http.post("/score", json={"problem": "p", "steps": ["a"], "model": "fake"}, headers=named)
        return http.get("/metrics").text.count("\n")

    assert knock(0) == knock(20)
