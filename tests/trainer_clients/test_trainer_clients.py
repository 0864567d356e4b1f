"""Trainers' own clients against a live service (`make test-trainers`), and what they sent, replayed in `make test`.

`TRAINERS` names a folder of checkouts, `FOLDER/owner/name`, at the commits below; `TRAINERS_PYTHON` the interpreter of
the clients' environment. `--update-golden` stores what passed and what the clients returned.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import checkpoints
from service_case import connect, live, torch_scorer
from stepscore_service.http.app import ROUTES
from trainer_clients.recording import Exchange, recorded
from trainer_clients.theirs import ASYNC, BLOCKING, PROBLEM, SOLUTION

STORED = Path(__file__).parents[1] / "golden" / "trainers"
CHECKOUTS = {
    "openrlhf": ("OpenRLHF/OpenRLHF", "3c3be6234e0cb353e76bb8019947db9dfe99fca7"),
    "slime": ("THUDM/slime", "624b824a898ab0ec1fcb4d373004c7f3852bf515"),
    "verl-vllm": ("verl-project/verl", "1dda039b9c6311889a9c9a26040677e1254814f9"),
    "verl-sglang": ("verl-project/verl", "1dda039b9c6311889a9c9a26040677e1254814f9"),
    "llama_factory": ("hiyouga/LLaMA-Factory", "ff6d4d12eeb035d6ce06805a5733dd7b29f2ac30"),
}
"""Whose own code is run, and the commit at which it was; the other clients are packages."""
CASES = sorted(ASYNC | BLOCKING)
CHANGING = {"id", "created", "start_time", "end_time", "version", "model_version", "model_sha", "revision"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tiny checkpoint in float32, under the name that the clients use."""
    folder = checkpoints.qwen_math(tmp_path_factory.mktemp("trainers") / "tiny-prm")
    with live({"tiny": torch_scorer(folder, "tiny")}) as url:
        yield url


@pytest.fixture(scope="module")
def expected(service: str) -> float:
    """What /score gives to the clients' solution."""
    with connect(service) as http:
        answer = http.post("/score", json={"problem": PROBLEM, "solution": SOLUTION}).json()
    return float(answer["score"])


@pytest.mark.trainers
@pytest.mark.parametrize("case", CASES)
def test_a_trainer_s_own_client_gets_the_score(
    case: str, service: str, expected: float, request: pytest.FixtureRequest
) -> None:
    checkouts = Path(os.environ.get("TRAINERS", ""))
    if case in CHECKOUTS and not (os.environ.get("TRAINERS") and (checkouts / CHECKOUTS[case][0]).is_dir()):
        pytest.skip(f"TRAINERS has no checkout of {CHECKOUTS[case][0]}")
    with recorded(service) as (url, exchanges):
        command = [os.environ["TRAINERS_PYTHON"], str(Path(__file__).with_name("theirs.py")), case, url, str(checkouts)]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert run.returncode == 0, run.stderr
    returned = json.loads(run.stdout)
    assert any(number == pytest.approx(expected, abs=1e-6) for number in numbers(returned)), returned
    if request.config.getoption("--update-golden"):
        kept = {"returned": returned, "exchanges": exchanges}
        STORED.mkdir(exist_ok=True)
        (STORED / f"{case}.json").write_text(json.dumps(kept, indent=1) + "\n")


@pytest.mark.parametrize("case", CASES)
def test_what_a_client_sent_is_answered_as_it_was(case: str, service: str) -> None:
    stored = json.loads((STORED / f"{case}.json").read_text())
    with connect(service) as http:
        for exchange in stored["exchanges"]:
            assert_same(send(http, exchange), exchange["answer"])


def test_every_client_that_was_recorded_reads_the_score(expected: float) -> None:
    for case in CASES:
        returned = json.loads((STORED / f"{case}.json").read_text())["returned"]
        assert any(number == pytest.approx(expected, abs=1e-6) for number in numbers(returned)), case


def test_every_view_but_those_without_a_client_is_called() -> None:
    """NeMo-Gym and ROLL need a cluster; miles sends what slime sends."""
    called = {json.loads(path.read_text())["exchanges"][-1]["path"].partition("?")[0] for path in STORED.iterdir()}
    paths = {"/get_reward", "/rm", "/classify", "/v1/embeddings", "/v1/score/evaluation", "/tei/rerank", "/v1/rerank"}
    assert paths <= called
    assert {route.FORMAT for route in ROUTES if hasattr(route, "FORMAT")} >= {"nemo_gym", "roll"}


def send(http: httpx.Client, exchange: Exchange) -> Any:
    content = None if exchange["body"] is None else json.dumps(exchange["body"])
    answer = http.request(exchange["method"], exchange["path"], content=content, headers=exchange["headers"])
    assert answer.status_code == exchange["status"], answer.text
    return answer.json()


def assert_same(found: Any, stored: Any) -> None:
    """Equal within 1e-5, but for what changes from run to run."""
    if isinstance(stored, dict):
        assert found.keys() == stored.keys()
        for name in stored.keys() - CHANGING:
            read = embedded if name == "embedding" else (lambda value: value)
            assert_same(read(found[name]), read(stored[name]))
    elif isinstance(stored, list):
        assert len(found) == len(stored)
        for one, other in zip(found, stored, strict=True):
            assert_same(one, other)
    else:
        assert found == (pytest.approx(stored, abs=1e-5) if isinstance(stored, float) else stored)


def embedded(value: Any) -> Any:
    """The numbers of an embedding, which may be base64."""
    return [*struct.unpack("<f", base64.b64decode(value))] if isinstance(value, str) else value


def numbers(value: Any) -> Iterator[float]:
    """Every number of a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, float):
        yield value
