"""What the page shows first is something that the shipped model gets right, in both number formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import embedded_case
import stepscore_service.http
from service_case import connect, live
from stepscore.config import DType, EngineOptions
from stepscore.embedded.prepare import prepare
from stepscore.scoring.open import open_scorer

pytestmark = embedded_case.needed

SCRIPT = Path(str(stepscore_service.http.__file__)).parent / "page" / "score.js"
WRONG = 1
"""The step that says 48 + 24 = 62."""


def example_text(name: str) -> str:
    """A text of the page's example."""
    (found,) = re.findall(rf'^  {name}: (".*"),$', SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    return str(json.loads(found))


@pytest.fixture(params=["float32", pytest.param("bfloat16", marks=pytest.mark.cpu_probe)])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    dtype: DType = request.param
    if dtype == "float32":
        yield request.getfixturevalue("embedded_url")
        return
    prepare()
    options = EngineOptions(device="cpu", dtype=dtype, kv_cache_bytes=1 << 26)
    with live({"embedded": open_scorer("embedded", options=options)}) as address:
        yield address


def test_the_prefilled_solution_is_wrong_where_the_model_says(url: str) -> None:
    with connect(url) as http:
        answer = http.post(
            "/score", json={"problem": example_text("problem"), "solution": example_text("solution")}
        ).json()
    assert answer["first_error"] == answer["weakest_step"] == WRONG, answer["rewards"]
    assert [reward > answer["threshold"] for reward in answer["rewards"]] == [True, False, True]
