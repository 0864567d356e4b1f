"""A run of several processes ends as one: a signal that one of them hears stops all after the same step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

import checkpoints_b as checkpoints
from cli_case import write
from stepscore_service.jobs.train.watching import Stopping

ARGS = SimpleNamespace(device=torch.device("cpu"))
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "stepscore_service.cli"]
STEPS = 60
SECONDS = 200.0


def ended_step(stopping: Stopping) -> TrainerControl:
    control = TrainerControl()
    stopping.on_step_end(ARGS, TrainerState(), control)
    return control


def test_a_process_stops_where_another_was_asked() -> None:
    heard: list[bool] = []

    def other_was_asked(flag: bool, device: torch.device) -> bool:
        heard.append(flag)
        return len(heard) > 1

    stopping = Stopping(print, other_was_asked)
    first, second = ended_step(stopping), ended_step(stopping)
    assert (first.should_save, first.should_training_stop) == (False, False)
    assert (second.should_save, second.should_training_stop, stopping.asked) == (True, True, True)
    stopping.on_train_end(ARGS, TrainerState(), TrainerControl())
    assert heard == [False, False, True]  # the last one keeps it from leaving before the checkpoint is written


def test_a_run_that_comes_to_its_end_waits_for_nobody() -> None:
    heard: list[bool] = []
    stopping = Stopping(print, lambda flag, device: bool(heard.append(flag)))
    ended_step(stopping)
    stopping.on_train_end(ARGS, TrainerState(), TrainerControl())
    assert heard == [False]


def test_a_single_process_asks_nobody() -> None:
    with Stopping(lambda text: None) as stopping:
        assert not ended_step(stopping).should_training_stop
        signal.raise_signal(signal.SIGINT)
        assert ended_step(stopping).should_training_stop


@contextmanager
def launched(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Two processes and their launcher, which are gone afterwards whatever happened."""
    command = [sys.executable, *LAUNCH, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def workers(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return sorted(int(child) for child in children if "train" in Path(f"/proc/{child}/cmdline").read_text())


def until_checkpoint(process: subprocess.Popen[bytes], out: Path) -> None:
    until = time.monotonic() + SECONDS
    while not list(out.glob("checkpoints/checkpoint-*/trainer_state.json")) and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("hears", ["one", "launcher"])
def test_two_processes_stop_after_the_same_step_and_go_on_from_it(tmp_path: Path, hears: str) -> None:
    base = checkpoints.causal(tmp_path / "base", "qwen2")
    rows = [
        {"prompt": f"{n} + 1?", "completions": [f"{n} + 1 = {n + wrong}"], "labels": [not wrong]}
        for n in range(8)
        for wrong in (0, 1)
    ]
    options = ["--steps", STEPS, "--batch", 2, "--save-steps", 5, "--learning-rate", "1e-3", "--eval-share", 0]
    command = ["train", str(write(tmp_path / "rows.jsonl", rows)), "--base", str(base), *map(str, options)]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    with launched(*command, "--out", broken) as process:
        until_checkpoint(process, broken)
        os.kill(workers(process.pid)[-1] if hears == "one" else process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert said.count(b"--resume goes on from it") == 2, said.decode()
    assert not (broken / "config.json").exists()
    for out, more in ((broken, ["--resume"]), (whole, [])):
        with launched(*command, "--out", out, *more) as process:
            _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said.decode()
    one, other = (load_file(out / "model.safetensors") for out in (broken, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)
