"""A run whose weights are exchanged and whose service is stopped and started again: every sample gets its own score."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import checkpoints
from service_case import PROBLEM, live, torch_scorer
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading, Solution
from stepscore_service.client import StepscoreClient
from stepscore_service.integrations import verl

ROUNDS, SAMPLES = 60, 8
PAUSE = 0.02
"""Seconds between rounds: a trainer does other things too."""
SETTINGS: dict[str, Any] = {"allow_reload": True, "device": "cpu", "dtype": "float32"}


def step(number: int) -> str:
    return f"She sells {number} eggs."


def scores(scorer: Scoring) -> list[float]:
    """What each sample must get."""
    solutions = [Solution(PROBLEM, (step(number),)) for number in range(ROUNDS * SAMPLES)]
    return [each.rewards[0] for each in scorer.score(solutions) if isinstance(each, Reading)]


async def round_of(number: int) -> list[float]:
    """One training step: all of its samples at once."""
    first = number * SAMPLES
    extra = {"question": PROBLEM}
    calls = [verl.compute_score("math", step(each), "", extra) for each in range(first, first + SAMPLES)]
    return [each["score"] for each in await asyncio.gather(*calls)]


def run(after: Callable[[int], None]) -> list[float]:
    """A whole run, one event loop a round, as trainers do it."""
    found: list[float] = []
    for number in range(ROUNDS):
        found += asyncio.run(round_of(number))
        after(number)
        time.sleep(PAUSE)
    return found


def test_no_sample_of_a_disturbed_run_gets_a_made_up_reward(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrained = checkpoints.qwen_math(tmp_path / "retrained", seed=7)
    allowed = list(zip(scores(torch_scorer(folder, "a")), scores(torch_scorer(retrained, "b")), strict=True))
    exchange, stop = threading.Event(), threading.Event()
    marks = {ROUNDS // 3: exchange, 2 * ROUNDS // 3: stop}
    with ThreadPoolExecutor(1) as threads:
        with live({"tiny": torch_scorer(folder, "tiny")}, **SETTINGS) as url:
            monkeypatch.setenv("PRM_URL", url)
            monkeypatch.setenv("PRM_TIMEOUT", "30")
            running = threads.submit(run, lambda number: marks.get(number, threading.Event()).set())
            assert exchange.wait(60)
            with StepscoreClient(url) as client:
                client.reload("tiny", str(retrained))
            assert stop.wait(60)
        port = int(url.rpartition(":")[2])
        with live({"tiny": torch_scorer(retrained, "tiny")}, at=port, **SETTINGS):
            found = running.result(120)
    pairs = zip(found, allowed, strict=True)
    made_up = [value for value, true in pairs if min(abs(value - each) for each in true) > 1e-5]
    assert (len(found), made_up) == (ROUNDS * SAMPLES, [])
    assert found[:SAMPLES] == pytest.approx([before for before, _ in allowed[:SAMPLES]], abs=1e-5)
    assert found[-SAMPLES:] == pytest.approx([after for _, after in allowed[-SAMPLES:]], abs=1e-5)
