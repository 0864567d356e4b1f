"""What a run leaves: the command that it names next works, every step has a loss, and nothing is measured twice."""

from __future__ import annotations

import json
import re
import shlex
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import checkpoints_causal as checkpoints
from cli_case import invoke, read, start, write
from stepscore_service.client import StepscoreClient
from stepscore_service.jobs.modeling.build import build
from stepscore_service.jobs.modeling.plan import TrainPlan
from stepscore_service.jobs.modeling.saving import config_of

PROBLEM, STEPS = "How much is 3 + 1?", ("3 + 1 = 4", "The answer is 4.")


def rows() -> list[dict[str, Any]]:
    return [
        {"prompt": f"{n} + 1?", "completions": [f"{n} + 1 = {n + wrong}"], "labels": [not wrong], "outcome": not wrong}
        for n in range(1, 9)
        for wrong in (0, 1)
    ]


def train(base: Path, out: Path, *options: str | int, data: list[dict[str, Any]] | None = None) -> str:
    """What the run says."""
    file = write(out.parent / "rows.jsonl", data or rows())
    given = ["--batch", 4, "--learning-rate", "1e-2", "--steps", 2, "--eval-share", 0, *options]
    ran = invoke("train", file, "--base", base, "--out", out, *map(str, given))
    assert ran.exit_code == 0, ran.output
    return ran.output


def named_command(said: str) -> list[str]:
    (command,) = re.findall(r"stepscore ((?:label|serve) .*)", said.replace("\n", " "))
    return shlex.split(command)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return checkpoints.causal(tmp_path / "base", "qwen2")


def test_a_policy_names_the_label_command_and_it_works(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = [{"prompt": PROBLEM, "completions": STEPS, "labels": [True, True]}]
    said = train(base, tmp_path / "policy", "--lm-only", "--steps", 40, data=learnt)
    assert "Serve it" not in said
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "problems.jsonl", [{"problem": PROBLEM, "answer": "4"}])
    ran = invoke(*named_command(said), "--dtype", "float32")
    assert ran.exit_code == 0, ran.output
    assert len(read(tmp_path / "labels" / "labels-00000.jsonl")) == 4


@pytest.mark.parametrize("output", ["qwen_math", "implicit"])
def test_a_reward_model_names_the_serve_command_and_it_works(base: Path, tmp_path: Path, output: str) -> None:
    options = ("--output", output, *(("--objective", "implicit") if output == "implicit" else ()))
    name = {"implicit": "implicitprm", "qwen_math": "prm"}[output]
    command = named_command(train(base, tmp_path / name, *options))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(*command, "--port", str(port), "--device", "cpu", "--dtype", "float32")
    try:
        assert answers(f"http://127.0.0.1:{port}") == output
    finally:
        process.terminate()
        process.communicate(timeout=30)


def answers(url: str, seconds: float = 90.0) -> str:
    """The family that scores a solution there."""
    end = time.monotonic() + seconds
    with StepscoreClient(url) as client:
        while True:
            try:
                assert client.score(PROBLEM, list(STEPS)).rewards
                return client.models()[0].family
            except httpx.TransportError:
                assert time.monotonic() < end, "the service does not answer"
                time.sleep(0.2)


def test_every_step_of_a_short_run_has_a_loss_and_the_last_is_measured_once(base: Path, tmp_path: Path) -> None:
    said = train(base, tmp_path / "prm", "--steps", 4, "--eval-share", 0.4, "--eval-steps", 2)
    assert re.findall(r"step (\d), held out", said) == ["2", "4"]
    state = tmp_path / "prm" / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    history = json.loads(state.read_text())["log_history"]
    assert [each["step"] for each in history if "loss" in each] == [1, 2, 3, 4]
    assert "eval_accuracy" in json.loads((tmp_path / "prm" / "training.json").read_text())["metrics"]


def test_a_checkpoint_from_a_gguf_base_is_not_called_quantized(base: Path) -> None:
    setup = build(TrainPlan(str(base)))
    setup.base.lm.config.quantization_config = {"quant_method": "gguf"}
    assert "quantization_config" not in config_of(setup, setup.model.lm)
    setup.base.lm.config.default_aggregate = "last"
    assert "default_aggregate" not in config_of(setup, setup.model.lm)
