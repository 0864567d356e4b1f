"""deploy/proxy/nginx.conf in nginx, before three servers: a problem stays on one, and a killed one loses nothing."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from checkpoints import qwen_math
from service_case import (
    check_problem_by_problem,
    connect,
    free_port,
    items_of_problems,
    metric,
    offline_rewards,
    started,
)
from stepscore_service.client import StepscoreClient

ROOT = Path(__file__).parents[2]
ITEMS = items_of_problems(24)
SERVERS = 3
KINDS_OF_FILES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Servers:
    """Three plain servers, and the proxy before them."""

    proxy: str
    folder: Path
    urls: list[str]
    processes: list[subprocess.Popen[str]]

    def computed(self) -> list[float]:
        """Tokens that each server has computed."""
        found = []
        for url in self.urls:
            with connect(url) as http:
                found.append(metric(http, "stepscore_tokens_computed_total"))
        return found


@pytest.fixture
def servers(tmp_path: Path, system_tool: Callable[[str], str]) -> Iterator[Servers]:
    nginx = system_tool("nginx")
    folder = qwen_math(tmp_path / "tiny")
    command = ["serve", "--port", "0", "--model", f"tiny={folder}", "--dtype", "float32", "--device", "cpu"]
    with ExitStack() as stack, ThreadPoolExecutor(SERVERS) as starting:
        logs = [tmp_path / f"{number}.log" for number in range(SERVERS)]
        running = list(starting.map(lambda log: stack.enter_context(started(command, log)), logs))
        urls = [url for url, _ in running]
        with run_nginx(nginx, tmp_path, urls) as proxy:
            yield Servers(proxy, folder, urls, [process for _, process in running])


@contextmanager
def run_nginx(nginx: str, folder: Path, urls: list[str]) -> Iterator[str]:
    """nginx with the repository's configuration; addresses are those of this machine, and files are in the folder."""
    address = f"127.0.0.1:{free_port()}"
    text = (ROOT / "deploy/proxy/nginx.conf").read_text()
    for number, url in enumerate(urls, 1):
        text = text.replace(f"stepscore-{number}:8000", url.removeprefix("http://"))
    assert "stepscore-" not in text
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in KINDS_OF_FILES)
    text = text.replace("listen 8080;", f"listen {address};").replace("http {", f"http {{ access_log off; {places}")
    (folder / "nginx.conf").write_text(text)
    own = f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;"
    process = subprocess.Popen([nginx, "-p", folder, "-c", folder / "nginx.conf", "-g", own], stderr=subprocess.PIPE)
    try:
        wait_for(f"http://{address}/health/live", process)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"no answer from {url}")


def test_a_problem_stays_on_one_server_and_a_killed_one_loses_nothing(servers: Servers) -> None:
    wanted = offline_rewards(servers.folder, ITEMS)
    with StepscoreClient(servers.proxy) as client:
        check_problem_by_problem(client, ITEMS, wanted)
        first = servers.computed()
        assert min(first) > 0.1 * sum(first), "twenty-four problems fall on all three"
        check_problem_by_problem(client, ITEMS, wanted)
        assert servers.computed() == first, "what comes again meets the server that knows it"
    with ThreadPoolExecutor(8) as callers:
        waiting = [callers.submit(score_from, servers.proxy, wanted, number) for number in range(24)]
        servers.processes[0].send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        assert not all(future.done() for future in waiting), "some wait for the stopped server"
        servers.processes[0].kill()
        for future in waiting:
            future.result(120)
    servers.processes[1].terminate()
    with StepscoreClient(servers.proxy) as client:
        check_problem_by_problem(client, ITEMS, wanted)
    assert servers.processes[1].wait(60) == 0


def score_from(url: str, wanted: list[tuple[float, ...]], first: int) -> None:
    with StepscoreClient(url, timeout=100) as client:
        check_problem_by_problem(client, ITEMS, wanted, first)
