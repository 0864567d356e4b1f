"""Who may call what: keys, scopes, ports, TLS, other origins; and what logs do not hold."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from typer.testing import CliRunner

from service_case import PROBLEM, STEPS, connect, fake_scorer, live, metric
from stepscore_service.commands.cli import app
from stepscore_service.http.app import ROUTES
from stepscore_service.http.serve import serve
from stepscore_service.logs import configure_logs
from stepscore_service.settings import LogFormat, Settings

ONE = {"problem": PROBLEM, "steps": STEPS}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def make(file: Path, name: str, *options: str) -> str:
    """A key made as an operator makes one."""
    done = CliRunner().invoke(app, ["key", name, "--file", str(file), *options])
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


@pytest.fixture(scope="module")
def keyed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A service with key file; its URL and the keys by name."""
    file = tmp_path_factory.mktemp("keys") / "keys.jsonl"
    keys = {
        "ann": make(file, "ann"),
        "bob": make(file, "bob", "--tokens-per-minute", "100"),
        "root": make(file, "root", "--admin"),
    }
    with live({"fake": fake_scorer(folder)}, api_keys=file, allow_reload=True) as url:
        yield url, keys


def test_without_a_key_only_probes_and_pages_answer(keyed: tuple[str, dict[str, str]]) -> None:
    with connect(keyed[0]) as http:
        for path in ("/health/live", "/health/ready", "/", "/docs", "/openapi.json"):
            assert http.get(path).is_success, path
        for path in ("/v1/models", "/metrics", "/nowhere"):
            assert http.get(path).status_code == 401, path
        refused = http.post("/score", json=ONE)
        assert (refused.status_code, refused.json()["code"]) == (401, "not_authorised")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert http.post("/score", json=ONE, headers=bearer("wrong")).status_code == 401
        assert http.post("/v1/models/fake/reload", json={}).status_code == 401


def test_no_route_is_open_but_those_that_are_meant_to_be(keyed: tuple[str, dict[str, str]]) -> None:
    """Under every prefix and method: a guard that lists what it guards would forget the next route."""
    declared = {
        (method, re.sub(r"{[^}]*}", "fake", prefix + route.path))
        for module in ROUTES
        for prefix in module.PREFIXES
        for route in module.router.routes
        for method in {*route.methods, "HEAD", "POST"}
    }
    assert len(declared) > 60
    with connect(keyed[0]) as http:
        found = {path for method, path in declared if http.request(method, path).status_code != 401}
    assert found == {
        *("/", "/dashboard", "/solve", "/docs"),
        *("/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/tei/health"),
    }


def test_refusals_are_counted_under_their_route(keyed: tuple[str, dict[str, str]]) -> None:
    url, keys = keyed
    with connect(url) as http, connect(url) as operator:
        operator.headers.update(bearer(keys["root"]))
        before = metric(operator, "stepscore_requests_total", route="/v1/models/{name:path}/reload", code="401")
        http.post("/v1/models/fake/reload", json={})
        http.post("/score", json=ONE)
        http.post("/nowhere", json={})
        counted = metric(operator, "stepscore_requests_total", route="/v1/models/{name:path}/reload", code="401")
        assert counted == before + 1
        assert metric(operator, "stepscore_requests_total", route="/score", code="401") >= 1
        assert metric(operator, "stepscore_requests_total", route="unmatched", code="401") >= 1


def test_a_key_opens_scoring_and_an_admin_key_reloads(keyed: tuple[str, dict[str, str]]) -> None:
    url, keys = keyed
    with connect(url) as http:
        assert http.post("/score", json=ONE, headers=bearer(keys["ann"])).is_success
        assert http.get("/metrics", headers=bearer(keys["ann"])).is_success
        refused = http.post("/v1/models/fake/reload", json={}, headers=bearer(keys["ann"]))
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        admitted = http.post("/v1/models/fake/reload", json={}, headers=bearer(keys["root"]))
        assert admitted.json()["code"] == "bad_checkpoint"


def test_keys_share_no_computed_prefix(keyed: tuple[str, dict[str, str]]) -> None:
    url, keys = keyed
    with connect(url) as http:
        http.headers.update(bearer(keys["ann"]))

        def computed(key: str) -> float:
            before = metric(http, "stepscore_tokens_computed_total")
            assert http.post("/score", json=ONE | {"problem": "salts"}, headers=bearer(key)).is_success
            return metric(http, "stepscore_tokens_computed_total") - before

        assert computed(keys["ann"]) > 0
        assert computed(keys["root"]) > 0


def test_a_quota_is_429_for_its_own_key_alone(keyed: tuple[str, dict[str, str]]) -> None:
    url, keys = keyed
    with connect(url) as http:
        statuses = [http.post("/score", json=ONE, headers=bearer(keys["bob"])).status_code for _ in range(4)]
        refused = http.post("/score", json=ONE, headers=bearer(keys["bob"]))
        assert statuses[0] == 200
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert int(refused.headers["retry-after"]) >= 1
        assert http.post("/score", json=ONE, headers=bearer(keys["ann"])).is_success


def test_the_admin_port_has_the_metrics_and_reloads_to_itself(folder: Path) -> None:
    with live({"fake": fake_scorer(folder)}, admin_port=0, api_key="one") as urls:
        main, admin = urls.split()
        with connect(main) as http, connect(admin) as operators:
            assert http.get("/metrics").status_code == 404
            assert operators.get("/metrics").is_success
            assert operators.get("/health/live").is_success
            assert http.get("/health/live").is_success
            assert operators.post("/score", json=ONE, headers=bearer("one")).status_code == 404
            assert http.post("/score", json=ONE, headers=bearer("one")).is_success
            assert http.post("/v1/models/fake/reload", json={}, headers=bearer("one")).status_code == 404


def test_other_origins_are_refused_unless_they_are_named(folder: Path) -> None:
    ask = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    with live({"fake": fake_scorer(folder)}) as url:
        assert "access-control-allow-origin" not in httpx.options(f"{url}/score", headers=ask).headers
    with live({"fake": fake_scorer(folder)}, cors_origins=("https://app.example",), api_key="one") as url:
        allowed = httpx.options(f"{url}/score", headers=ask)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        strange = httpx.options(f"{url}/score", headers=ask | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in strange.headers


@pytest.mark.usefixtures("logs_restored")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_listening_for_others_without_keys_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(Settings(host=host, port=0)) == 1
    assert "--api-keys" in capsys.readouterr().err


@pytest.mark.usefixtures("logs_restored")
@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_traceback_in_the_log_holds_no_text_of_users(format_: LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logs(format_, "info")

    def fails(problem: str) -> None:
        raise ZeroDivisionError(len(problem))

    words = ["the", "user's", "own"]
    for name in ("stepscore.batcher", "uvicorn.error"):
        try:
            fails(" ".join(words))
        except ZeroDivisionError as error:
            structlog.get_logger(name).error("broke", exc_info=error)
            logging.getLogger(name).error("broke", exc_info=error)
    assert "ZeroDivisionError" in written.getvalue()
    assert " ".join(words) not in written.getvalue()


@pytest.mark.usefixtures("logs_restored")
def test_an_access_line_has_model_tokens_tenant_and_code_but_no_text(
    keyed: tuple[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, keys = keyed
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logs("json", "info")
    with connect(url) as http:
        answer = http.post("/score", json=ONE, headers=bearer(keys["ann"]))
        http.post("/score?note=private", json=ONE, headers=bearer(keys["ann"]))
        http.post("/score", json={"problem": "p", "steps": []}, headers=bearer(keys["ann"]))
        http.post("/no/such/route", headers=bearer(keys["ann"]))
        http.put("/score", headers=bearer(keys["ann"]))
    good, noted, bad, lost, wrong = [
        json.loads(line) for line in written.getvalue().splitlines() if '"request"' in line
    ]
    assert (good["model"], good["tokens"], good["tenant"], good["status"]) == (
        "fake",
        answer.json()["token_count"],
        "ann",
        200,
    )
    assert (noted["code"], bad["code"]) == ("invalid_request", "no_steps")
    assert (lost["code"], wrong["code"]) == ("not_found", "method_not_allowed")
    assert keys["ann"] not in written.getvalue()
    assert "private" not in written.getvalue()
    assert PROBLEM not in written.getvalue()


@pytest.mark.usefixtures("logs_restored")
@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_path_in_the_log_moves_no_cursor_and_fills_no_disk(
    url: str, format_: LogFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logs(format_, "info")
    with connect(url) as http:
        http.get("/%1b%5b2Ja%0afake%c2%85line%e2%80%ae", headers=[(b"X-Forwarded-For", b"\x9b2J")])
        http.get("/" + "b" * 20_000)
    first, second = [line for line in written.getvalue().split("\n") if line]
    assert first.isprintable()
    assert "x1b[2Ja" in first
    assert len(second) < 1000
    assert "20001 characters" in second


def test_server_timing_says_where_the_time_went(folder: Path) -> None:
    with live({"fake": fake_scorer(folder)}) as url, connect(url) as http:
        parts = http.post("/score", json=ONE).headers["server-timing"].split(", ")
        assert [part.partition(";")[0] for part in parts] == ["tokenise", "queue", "forward", "total"]
        times = [float(part.partition("dur=")[2]) for part in parts]
        assert sum(times[:3]) <= times[3] + 0.5
