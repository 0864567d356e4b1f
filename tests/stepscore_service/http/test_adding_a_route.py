"""docs/adding-a-route.md works as it stands: a schema, a route and an entry in ROUTES serve another format."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

import stepscore_service.http.routes
import stepscore_service.schemas
from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric
from stepscore_service.http.app import ROUTES

PAGE = (Path(__file__).parents[3] / "docs" / "adding-a-route.md").read_text(encoding="utf-8")
TEXT = "\n".join(STEPS)
PLACES = (stepscore_service.schemas, stepscore_service.http.routes)
"""The packages to which the page's two files belong, in its order."""


@pytest.fixture(scope="module")
def route(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The page's files, importable from the packages that it names."""
    with pytest.MonkeyPatch.context() as patch:
        for package, code in zip(PLACES, re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S), strict=True):
            folder = tmp_path_factory.mktemp("route")
            (folder / "parallel.py").write_text(code, encoding="utf-8")
            patch.setattr(package, "__path__", [*package.__path__, str(folder)])
        importlib.invalidate_caches()
        yield importlib.import_module("stepscore_service.http.routes.parallel")
    for package in PLACES:
        sys.modules.pop(f"{package.__name__}.parallel", None)
        vars(package).pop("parallel", None)


@pytest.fixture(scope="module")
def trainer(route: ModuleType, folder: Path) -> Iterator[httpx.Client]:
    scorer = fake_scorer(folder)
    with live({"fake": scorer}, routes=[*ROUTES, route], max_items=3) as url, connect(url) as client:
        yield client


def post(client: httpx.Client, *responses: str) -> httpx.Response:
    return client.post("/step_rewards", json={"prompts": [PROBLEM] * len(responses), "responses": responses})


def test_it_gives_the_rewards_of_score(trainer: httpx.Client) -> None:
    alone = [trainer.post("/score", json={"problem": PROBLEM, "solution": each}).json() for each in (TEXT, STEPS[0])]
    assert post(trainer, TEXT, STEPS[0]).json() == {"rewards": [each["rewards"] for each in alone]}


def test_its_lists_are_limited_by_the_setting_that_its_schema_names(trainer: httpx.Client) -> None:
    answer = post(trainer, *[TEXT] * 4)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_items")
    assert answer.json()["detail"] == {"items": 4, "limit": 3}


def test_its_errors_have_the_one_shape_and_are_counted(trainer: httpx.Client) -> None:
    before = metric(trainer, "stepscore_errors_total", code="no_steps")
    answer = post(trainer, TEXT, " ")
    assert (answer.status_code, set(answer.json())) == (422, {"code", "message", "detail"})
    assert metric(trainer, "stepscore_errors_total", code="no_steps") - before == 1
    wrong = trainer.post("/step_rewards", json={"prompts": [], "responses": [TEXT]})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")


def test_it_is_measured_and_documented(trainer: httpx.Client) -> None:
    assert post(trainer, TEXT).is_success
    assert metric(trainer, "stepscore_requests_total", route="/step_rewards", code="200") >= 1
    assert "/step_rewards" in trainer.get("/openapi.json").json()["paths"]
