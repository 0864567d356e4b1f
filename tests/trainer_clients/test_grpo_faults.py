"""TRL's GRPOTrainer keeps training while the service fails in every way, and no reward of it is made up.

Each number that the trainer received is compared with the offline scorer of the weights that served at that step.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.torch import load_file, save_file

import checkpoints
import checkpoints_causal
from benchmarks.grpo.rewards import mean
from benchmarks.proof.server import Service
from stepscore.config import EngineOptions
from stepscore.errors import StepscoreError
from stepscore.scoring.open import open_scorer
from stepscore.types import SolutionRequest
from stepscore_service.integrations.connection import item
from stepscore_service.serving.scoring import resolve_options, score_offline
from trainer_clients.faults import Fault, FaultyHandler, answer_half, faulty, refuse

ROOT = Path(__file__).parents[2]
STEPS, GROUP = 12, 8
STORM, HALF, KILLED, SLOW, SWAPPED = 2, 3, 4, 6, 8
SIZES = {"steps": STEPS, "prompts": 1, "group": GROUP, "max-tokens": 24, "held-out": 2, "every": STEPS}
TOLERANCE = 1e-5
EXPECTED = {"refuse": 6, "answer_half": 2, "kill": 1, "slow": 1, "swap": 1}
"""How often each fault happens."""


@pytest.mark.trainers
@pytest.mark.timeout(900)
def test_a_run_survives_faults_without_a_made_up_reward(tmp_path: Path) -> None:
    first, second = checkpoints.qwen_math(tmp_path / "first"), checkpoints.qwen_math(tmp_path / "second", seed=7)
    with service(first, tmp_path) as running:
        plan = {
            STORM: [refuse] * 6,
            HALF: [answer_half, answer_half],
            KILLED: [kill(running)],
            SLOW: [slow],
            SWAPPED: [swap(running, second)],
        }
        with faulty(running.url, plan) as (url, seen):
            log = run_trainer(url, policy(tmp_path / "policy"), tmp_path / "run")
    assert {name: seen[name] for name in EXPECTED} == EXPECTED
    rows = [json.loads(line) for line in (tmp_path / "run" / "rewards.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(STEPS))
    old, new = [offline(folder, rows) for folder in (first, second)]
    counted: Counter[str] = Counter()
    for row, before, after in zip(rows, old, new, strict=True):
        for reward, *known in zip(row["rewards"], before, after, strict=True):
            counted[name_of(reward, *known, step=row["step"])] += 1
    logging.getLogger(__name__).info("requests: %s; rewards: %s", dict(seen), dict(counted))
    assert sum(counted.values()) == STEPS * GROUP
    assert set(counted) == {"first weights", "second weights", "not scorable"}, counted
    logged = [entry["rewards/reward/mean"] for entry in log if "rewards/reward/mean" in entry]
    assert logged == pytest.approx([mean(row["rewards"]) for row in rows], abs=TOLERANCE)


def test_a_reward_of_nobody_is_called_made_up() -> None:
    assert name_of(0.5, 0.5, 0.7, step=SWAPPED - 1) == "first weights"
    assert name_of(0.7, 0.5, 0.7, step=SWAPPED + 1) == "second weights"
    assert name_of(0.7, 0.5, 0.7, step=SWAPPED - 1) == name_of(0.5, 0.5, 0.7, step=SWAPPED + 1) == "made up"
    assert name_of(0.0, None, None, step=0) == name_of(0.5 + 1e-4, 0.5, 0.7, step=0) == "made up"
    assert name_of(None, 0.5, 0.7, step=0) == "lost"
    assert name_of(None, None, None, step=0) == "not scorable"


def name_of(reward: float | None, before: float | None, after: float | None, *, step: int) -> str:
    """Whose reward the trainer received; "made up" if it is nobody's that may have answered at this step."""
    if reward is None:
        return "not scorable" if before is None and after is None else "lost"
    allowed = {"first weights": before} if step <= SWAPPED else {}
    allowed |= {"second weights": after} if step >= SWAPPED else {}
    for name, known in allowed.items():
        if known is not None and abs(reward - known) <= TOLERANCE:
            return name
    return "made up"


def offline(folder: Path, rows: Sequence[dict[str, Any]]) -> list[list[float | None]]:
    """What the checkpoint gives to each completion by the reference path; None if it cannot be scored."""
    scorer = open_scorer(str(folder), options=EngineOptions(device="cpu", dtype="float32", mode="reference"))
    options = resolve_options(scorer.info)
    rewards: list[list[float | None]] = []
    for row in rows:
        items = [item(prompt, text) for prompt, text in zip(row["prompts"], row["completions"], strict=True)]
        results = score_offline(scorer, [SolutionRequest(each["problem"], each["solution"]) for each in items], options)
        rewards.append([None if isinstance(result, StepscoreError) else result.score for result in results])
    scorer.close()
    return rewards


@contextmanager
def service(model: Path, folder: Path) -> Iterator[Service]:
    """On a port that stays its own when it is started again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = {"allow_reload": "true", "reload_folder": str(folder), "dtype": "float32", "port": port}
    with Service(models=f"prm={model}", **settings) as running:
        yield running


def kill(running: Service) -> Fault:
    """The service is killed before it can answer, and started again a second later."""

    def start_again() -> None:
        time.sleep(1.0)
        running.start()

    def kill(handler: FaultyHandler, body: bytes) -> None:
        running.kill()
        threading.Thread(target=start_again).start()
        handler.pass_on(body)

    return kill


def slow(handler: FaultyHandler, body: bytes) -> None:
    """An answer that takes five seconds longer."""
    time.sleep(5.0)
    handler.pass_on(body)


def swap(running: Service, folder: Path) -> Fault:
    """The weights are exchanged while the request is under way; the next step finds the new ones."""

    def swap(handler: FaultyHandler, body: bytes) -> None:
        url = f"{running.url}/v1/models/prm/reload"
        reload = threading.Thread(target=lambda: httpx.post(url, json={"path": str(folder)}, timeout=120))
        reload.start()
        answer = handler.forward(body)
        reload.join()
        handler.reply(answer)

    return swap


def policy(folder: Path) -> Path:
    """A tiny model of random weights that ends its turn often, so that some completions are empty."""
    checkpoints_causal.causal(folder, "qwen2")
    state = load_file(folder / "model.safetensors")
    end = json.loads((folder / "config.json").read_text())["eos_token_id"]
    state["lm_head.weight"][end] *= 1.6
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def run_trainer(url: str, policy: Path, out: Path) -> list[dict[str, Any]]:
    """The trainer's own log."""
    sizes = [text for name, size in SIZES.items() for text in (f"--{name}", str(size))]
    command = [os.environ["TRL_PYTHON"], "-m", "benchmarks.grpo.train", "--run", "process", *sizes]
    paths = [str(ROOT), str(ROOT / "models"), str(ROOT / "service"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PRM_URL": url, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [*command, "--policy", str(policy), "--out", str(out)],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    log: list[dict[str, Any]] = json.loads((out / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())[
        "log_history"
    ]
    return log
