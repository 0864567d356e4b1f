"""A live service over a tiny checkpoint, on a free port of the loopback interface."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from stepscore.checkpoint import checkpoint_facts
from stepscore.config import EngineOptions
from stepscore.engine.fake import FakeEngine
from stepscore.family.registry import bind, resolve
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring
from stepscore.scoring.scorer import Scorer
from stepscore.types import Reading, Solution
from stepscore_service.client import StepscoreClient
from stepscore_service.http.app import ROUTES, create_app
from stepscore_service.http.certificates import open_certificates
from stepscore_service.http.serve import Server, listen, server_config
from stepscore_service.schemas.score import ScoreAnswer
from stepscore_service.serving.search import PolicyServer
from stepscore_service.settings import Settings

PROBLEM = "How many eggs does Janet sell a day?"
STEPS = ["Janet sells 16 - 3 - 4 = 9 duck eggs a day.", "She makes 9 * 2 = $18 every day."]


def torch_scorer(folder: Path, name: str, mode: Any = "fast") -> Scoring:
    options = EngineOptions(device="cpu", dtype="float32", mode=mode, kv_cache_bytes=1 << 20)
    return open_scorer(str(folder), name=name, options=options)


def fake_scorer(folder: Path, name: str = "fake", **options: Any) -> Scoring:
    """The checkpoint's true tokenizer and layout over an engine without weights; options are those of FakeEngine."""
    facts = checkpoint_facts(str(folder))
    info = open_scorer(str(folder), name=name, engine="fake").info
    engine = FakeEngine(2, **{"max_tokens": info.max_tokens, **options})
    return Scorer(info, bind(resolve(facts), facts, {}), engine)


@contextmanager
def live(
    scorers: Mapping[str, Scoring],
    *,
    routes: Sequence[ModuleType] = ROUTES,
    search_policy: PolicyServer | None = None,
    at: int = 0,
    **settings: Any,
) -> Iterator[str]:
    """The base URL of a running service; with an admin port also that one's, after a space. at: its port; 0: any."""
    chosen, listeners = listen(Settings(**{"port": at, **settings}))
    app = create_app(chosen, scorers, routes, search_policy)
    certificates = open_certificates(chosen)
    server = Server(server_config(chosen, app, certificates), app, chosen.drain_seconds, certificates)
    thread = threading.Thread(target=server.run, kwargs={"sockets": listeners})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        urls = [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
        yield " ".join(urls)
    finally:
        server.should_exit = True
        thread.join()
        for listener in listeners:
            listener.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def connect(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60)


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    """The value of one series, or the sum of those with the labels; 0 where there is none."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in wanted))


def items_of_problems(count: int) -> list[dict[str, Any]]:
    """Three solutions of each of so many problems, one after the other."""
    problems = [f"{PROBLEM} On day {day}?" for day in range(count)]
    return [{"problem": problem, "steps": [*STEPS[:1], f"That is ${n}."]} for problem in problems for n in range(3)]


def offline_rewards(folder: Path, items: Sequence[Mapping[str, Any]]) -> list[tuple[float, ...]]:
    """What the checkpoint gives to each item without a service."""
    solutions = [Solution(item["problem"], tuple(item["steps"])) for item in items]
    return [each.rewards for each in torch_scorer(folder, "one").score(solutions) if isinstance(each, Reading)]


def check_problem_by_problem(
    client: StepscoreClient, items: Sequence[Mapping[str, Any]], wanted: Sequence[Sequence[float]], first: int = 0
) -> None:
    """Scores `items_of_problems`, each problem in a request of its own, from the problem `first` on and around."""
    starts = range(0, len(items), 3)
    for start in (*starts[first:], *starts[:first]):
        for answer, rewards in zip(
            client.score_items(items[start : start + 3]).results, wanted[start : start + 3], strict=True
        ):
            assert isinstance(answer, ScoreAnswer)
            assert answer.rewards == pytest.approx(rewards, abs=1e-5)


@contextmanager
def started(command: Sequence[str], log: Path, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A `stepscore` command that serves in a process of its own, and its base URL. Standard error goes to the log."""
    stepscore = shutil.which("stepscore", path=str(Path(sys.executable).parent))
    assert stepscore, "the console script is not installed"
    given = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [stepscore, *command], env=os.environ | given, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        found = (re.search(r"docs +(http\S+)/docs", line) for line in process.stdout)
        url = next((match[1] for match in found if match), "")
        assert url, f"it did not start: {log.read_text()}"
        yield url, process
    finally:
        process.terminate()
        process.communicate(timeout=120)
