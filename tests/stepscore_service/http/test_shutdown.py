"""The real process: banner, Ctrl-C and SIGTERM in the middle of work, a start that fails."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service_case import PROBLEM, STEPS, connect, metric
from stepscore_service.http.serve import serve
from stepscore_service.settings import Settings

RUN = "import sys; from stepscore_service.http.serve import serve; from stepscore_service.settings import Settings; "
RUN += "sys.exit(serve(Settings()))"


@contextmanager
def process(code: str = RUN, **settings: str) -> Iterator[subprocess.Popen[str]]:
    given = {"port": "0", "device": "cpu", "dtype": "float32", **settings}
    variables = {f"STEPSCORE_{key.upper()}": value for key, value in given.items()}
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def wait_for_banner(running: subprocess.Popen[str]) -> tuple[str, str]:
    """The banner, and the URL that it names."""
    assert running.stdout is not None
    lines = []
    for line in running.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    banner = "".join(lines)
    found = re.search(r"docs +(http\S+)/docs", banner)
    assert found, banner + "".join(running.stderr or ())
    return banner, found[1]


def wait_for_end(running: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = running.communicate(timeout=60)
    return running.returncode, errors


def wait_ready(http: httpx.Client, running: subprocess.Popen[Any] | None = None) -> None:
    """running: the process, if it may not listen yet."""
    until = time.monotonic() + (30 if running is None else 120)
    while running is None or running.poll() is None:
        if time.monotonic() > until:
            break
        try:
            assert http.get("/health/ready").json()["state"] == "ready"
        except httpx.ConnectError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the service did not become ready")


def many(count: int) -> dict[str, object]:
    return {"items": [{"problem": PROBLEM, "steps": [*STEPS, str(number)]} for number in range(count)]}


def until_queued(http: httpx.Client) -> None:
    until = time.monotonic() + 60
    while not metric(http, "stepscore_queue_tokens"):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def hangups_heard() -> Iterator[None]:
    """Under nohup the tests, and so their servers, would start with SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups_heard")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_it_says_what_it_serves_and_ctrl_c_finishes_what_runs(folder: Path, how: signal.Signals) -> None:
    with (
        process(models=f"tiny={folder}", mode="invariant", max_batch_tokens="64", drain_seconds="200") as running,
        ThreadPoolExecutor(1) as threads,
    ):
        banner, url = wait_for_banner(running)
        for part in ("tiny", "qwen_math", "cpu", "float32", "invariant", f"{url}/docs", f"{url}/"):
            assert part in banner
        with connect(url) as http:
            wait_ready(http)
            large = threads.submit(http.post, "/score", json=many(400))
            until_queued(http)
            running.send_signal(how)
            while (answer := http.get("/health/ready")).is_success:
                time.sleep(0.01)
            assert (answer.status_code, answer.json()["state"]) == (503, "draining")
            refused = http.post("/score", json={"problem": PROBLEM, "steps": STEPS})
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert refused.headers["retry-after"] == "1"
            finished = large.result()
            assert (refused.headers["connection"], finished.headers["connection"]) == ("close", "close")
        code, errors = wait_for_end(running)
    assert finished.status_code == 200, finished.text
    assert [len(each["rewards"]) for each in finished.json()["results"]] == [3] * 400
    assert (code, "Traceback" in errors) == (0, False), errors


def test_what_cannot_finish_in_time_is_told_so(folder: Path) -> None:
    with (
        process(models=f"tiny={folder}", mode="invariant", max_batch_tokens="64", drain_seconds="0.2") as running,
        ThreadPoolExecutor(1) as threads,
    ):
        _, url = wait_for_banner(running)
        with connect(url) as http:
            wait_ready(http)
            large = threads.submit(http.post, "/score", json=many(9000))
            until_queued(http)
            running.send_signal(signal.SIGTERM)
            answer = large.result()
        code, errors = wait_for_end(running)
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert (code, "Traceback" in errors) == (0, False), errors


def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    with (
        process(models=f"tiny={folder}", mode="invariant", max_batch_tokens="64", drain_seconds="200") as running,
        ThreadPoolExecutor(1) as threads,
    ):
        _, url = wait_for_banner(running)
        with connect(url) as http:
            wait_ready(http)
            large = threads.submit(http.post, "/score", json=many(9000))
            until_queued(http)
            running.send_signal(signal.SIGTERM)
            while http.get("/health/ready").is_success:
                time.sleep(0.01)
            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            code, errors = wait_for_end(running)
            assert time.monotonic() - began < 15
            assert isinstance(large.exception(), httpx.TransportError)
    assert (code, "Traceback" in errors) == (1, False), errors


def test_several_engines_end_in_peace_too(folder: Path) -> None:
    with process(models=f"tiny={folder}", data_parallel="2", log_format="console") as running:
        _, url = wait_for_banner(running)
        with connect(url) as http:
            wait_ready(http)
            assert len(http.post("/score", json=many(20)).json()["results"]) == 20
        running.send_signal(signal.SIGTERM)
        code, errors = wait_for_end(running)
    assert (code, "Traceback" in errors) == (0, False), errors


def test_sigterm_ends_it_while_it_loads(folder: Path) -> None:
    """In a container it is process 1, for which the kernel does nothing that the process does not do itself."""
    command = [sys.executable, "-m", "stepscore_service.commands.main", "serve", "--model", str(folder), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as running:
        while not catches(running.pid, signal.SIGTERM):
            assert running.poll() is None
            time.sleep(0.001)
        running.send_signal(signal.SIGTERM)
        output, errors = running.communicate(timeout=60)
    assert (running.returncode, "Ctrl-C" in output, "Traceback" in errors) == (130, False, False), errors


def catches(pid: int, signal_: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(re.findall(r"SigCgt:\s*([0-9a-f]+)", status)[0], 16)
    return bool(mask >> (signal_ - 1) & 1)


def test_a_low_limit_of_open_files_does_not_shut_probes_out(folder: Path) -> None:
    code = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (64, r.getrlimit(r.RLIMIT_NOFILE)[1]))\n" + RUN
    with process(code, models=f"tiny={folder}", max_connections="100") as running, ExitStack() as held:
        _, url = wait_for_banner(running)
        where = urlsplit(url)
        for _ in range(100):
            held.enter_context(socket.create_connection((str(where.hostname), where.port or 0)))
        with connect(url) as http:
            wait_ready(http)
            assert http.post("/score", json={}).json()["code"] == "too_many_connections"


def test_a_full_disk_for_the_log_stops_no_request(folder: Path) -> None:
    """As the command runs it: what libraries print becomes log lines, and a complaint about the log must not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "stepscore_service.commands.main", "serve", "--log-format", "json"]
    command += ["--model", f"tiny={folder}", "--device", "cpu", "--dtype", "float32", "--port", str(port)]
    with Path("/dev/full").open("w") as full, subprocess.Popen(command, stdout=full, stderr=full) as running:
        with connect(f"http://127.0.0.1:{port}") as http:
            wait_ready(http, running)
            assert http.post("/score", json={"problem": PROBLEM, "steps": STEPS}).status_code == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


@pytest.mark.usefixtures("logs_restored")
def test_a_model_that_does_not_fit_is_refused_with_both_numbers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"models": (str(folder),), "dtype": "float32", "device": "cpu", "kv_cache_bytes": 1 << 50}
    assert serve(Settings(port=0, **given)) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    needed, *_, there = map(float, re.findall(r"([\d.]+) GiB", errors))
    assert needed >= 1 << 20 > there > 0, errors


@pytest.mark.usefixtures("logs_restored")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"models": ("/nowhere/at/all",)}, "is not a folder"),
        ({"models": ("embedded,embedded-head",)}, "name several models one by one, without commas"),
        ({"policy": "/nowhere/at/all"}, "/nowhere/at/all is not a folder"),
        ({"host": "192.0.2.1", "insecure": True}, "cannot listen on 192.0.2.1"),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(
    settings: dict[str, Any], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        serve(Settings(**{"port": 0, "models": (str(folder),), "device": "cpu", "dtype": "float32", **settings})) == 1
    )
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1
