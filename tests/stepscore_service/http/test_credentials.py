"""Keys as clients send them that cannot set a header, or only one of their own."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service_case import PROBLEM, STEPS, connect, fake_scorer, live
from stepscore_service.http.credentials import with_bearer

BODY = {"problem": PROBLEM, "steps": STEPS}


def bearer(path: str = "/score", root: str = "", **headers: str) -> tuple[str, str | None]:
    """The path, and what the application reads as its authorization."""
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    found = with_bearer({"type": "http", "path": path, "raw_path": path.encode(), "root_path": root, "headers": raw})
    assert b"/key/" not in found["raw_path"]
    return found["path"], dict(found["headers"]).get(b"authorization", b"").decode("latin-1") or None


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_key_becomes_a_bearer_token_wherever_it_is() -> None:
    assert bearer() == ("/score", None)
    assert bearer(authorization="Bearer k") == ("/score", "Bearer k")
    assert bearer(authorization=basic("any:a:b")) == ("/score", "Bearer a:b")
    assert bearer(xrl_authorization="Bearer k") == ("/score", "Bearer k")
    assert bearer("/key/k/score") == ("/score", "Bearer k")
    assert bearer("/prm/key/k/v2/models/a/b/infer", "/prm") == ("/prm/v2/models/a/b/infer", "Bearer k")


def test_the_key_of_the_url_wins_over_what_a_client_sends_by_itself() -> None:
    assert bearer("/key/k/score", authorization="Bearer other") == ("/score", "Bearer k")
    assert bearer(authorization="Bearer k", xrl_authorization="Bearer other") == ("/score", "Bearer k")


@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic /w==", basic("no colon"), "Digest x"])
def test_credentials_that_hold_no_key_are_left_as_they_are(value: str) -> None:
    assert bearer(authorization=value) == ("/score", value)


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[str]:
    with live({"tiny": fake_scorer(folder, "tiny")}, allow_reload=True, admin_token="k", log_level="info") as url:
        yield url


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[str]:
    with live({"tiny": fake_scorer(folder, "tiny")}, api_key="k") as url:
        yield url


PATHS = ("/score", "/get_reward", "/rm", "/v1/score/evaluation", "/classify", "/v1/embeddings", "/pooling", "/verify")
PATHS += ("/tei/rerank", "/v2/models/tiny/infer", "/roll/submit", "/v2/rerank")


@pytest.mark.parametrize("path", PATHS)
def test_every_view_needs_the_key_and_takes_it_in_every_form(locked: str, path: str) -> None:
    """What the view says of an empty body shows that the caller was let in."""
    for url in (locked, locked.replace("//", "//any:other@"), f"{locked}/key/other"):
        assert httpx.post(url + path, json={}).json()["code"] == "not_authorised"
    for url in (locked.replace("//", "//any:k@"), f"{locked}/key/k"):
        assert httpx.post(url + path, json={}).json()["code"] == "invalid_request"


@pytest.mark.parametrize("path", ["/health", "/v2/health/live", "/v2/health/ready", "/tei/health"])
def test_probes_need_no_key(locked: str, path: str) -> None:
    assert httpx.get(locked + path).status_code == 200


def reload(url: str, **headers: str) -> str:
    """The code of the answer; `bad_checkpoint` is that of a caller who was let in."""
    answer = httpx.post(f"{url}/v1/models/tiny/reload", json={"path": "/nonexistent"}, headers=headers)
    return str(answer.json()["code"])


def test_a_live_service_reads_every_form(guarded: str, capfd: pytest.CaptureFixture[str]) -> None:
    admitted = reload(guarded, Authorization="Bearer k")
    assert admitted != "not_authorised"
    assert reload(guarded.replace("//", "//any:k@")) == admitted
    assert reload(f"{guarded}/key/k") == admitted
    assert reload(guarded) == reload(f"{guarded}/key/other") == "not_authorised"
    logged = "".join(capfd.readouterr())
    assert "path=/v1/models/tiny/reload" in logged
    assert "/key/" not in logged


def test_views_answer_under_a_key_in_the_path(guarded: str) -> None:
    with connect(f"{guarded}/key/k") as http:
        assert http.post("/score", json=BODY).status_code == 200
        sample = {"prompt": PROBLEM, "response": STEPS[0], "label": None}
        assert isinstance(http.post("/rm?aggregate=min", json=sample).json(), float)
        assert http.get("/v2/health/ready").json() == {"ready": True}
