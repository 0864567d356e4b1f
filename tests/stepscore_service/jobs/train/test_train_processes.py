"""A run of several processes ends as one: a signal that one of them hears stops all after the same step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

import checkpoints_causal as checkpoints
from cli_case import write
from stepscore_service.jobs.train.job import is_first_process
from stepscore_service.jobs.train.progress import Stopping

ARGS = SimpleNamespace(device=torch.device("cpu"))
LAUNCH = [
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "stepscore_service.commands.cli",
]
STEPS = 60
SECONDS = 280.0


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


@pytest.mark.parametrize(
    ("size", "rank", "first"), [("", "1", True), ("1", "1", True), ("2", "0", True), ("2", "1", False)]
)
def test_a_number_that_another_launcher_left_says_nothing(
    monkeypatch: pytest.MonkeyPatch, size: str, rank: str, first: bool
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("RANK", rank)
    assert is_first_process() is first


@contextmanager
def launch(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Two processes and their launcher, which are gone afterwards whatever happened."""
    command = [sys.executable, *LAUNCH, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()  # the launcher takes its processes along
        process.communicate()


def workers(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return sorted(int(child) for child in children if "train" in Path(f"/proc/{child}/cmdline").read_text())


def until_checkpoint(process: subprocess.Popen[bytes], out: Path) -> None:
    until = time.monotonic() + SECONDS
    while not list(out.glob("checkpoints/checkpoint-*/trainer_state.json")) and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def run_of(folder: Path) -> list[str]:
    """The command of a run, but for its folder."""
    rows = [
        {"prompt": f"{n} + 1?", "completions": [f"{n} + 1 = {n + wrong}"], "labels": [not wrong]}
        for n in range(8)
        for wrong in (0, 1)
    ]
    data, base = write(folder / "rows.jsonl", rows), checkpoints.causal(folder / "base", "qwen2")
    options = ["--steps", STEPS, "--batch", 2, "--save-steps", 5, "--learning-rate", "1e-3", "--eval-share", 0]
    return ["train", str(data), "--base", str(base), *map(str, options)]


def stop(command: list[str], out: Path, whom: Callable[[int], int]) -> None:
    """Start the run and send SIGINT, in its midst, to the process that `whom` names of a launcher's number."""
    with launch(*command, "--out", out) as process:
        until_checkpoint(process, out)
        os.kill(whom(process.pid), signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert said.count(b"--resume continues from it") == 2, said.decode()  # both left the loop by themselves
    assert not (out / "config.json").exists()


@pytest.mark.slow
def test_two_processes_stop_with_their_launcher(tmp_path: Path) -> None:
    stop(run_of(tmp_path), tmp_path / "out", lambda launcher: launcher)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_stop_where_one_was_asked_and_go_on_to_the_same_weights(tmp_path: Path) -> None:
    command, broken, whole = run_of(tmp_path), tmp_path / "broken", tmp_path / "whole"
    stop(command, broken, lambda launcher: workers(launcher)[-1])
    alone = [sys.executable, *LAUNCH[-2:], *command, "--out", str(broken), "--resume"]
    refused = subprocess.run(alone, check=False, stderr=subprocess.PIPE)  # its steps would be half as large
    assert refused.returncode == 2
    assert b"a run with other settings" in refused.stderr
    for out, more in ((broken, ["--resume"]), (whole, [])):
        with launch(*command, "--out", out, *more) as process:
            _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said.decode()
        assert said.count(b"solutions (") == said.count(b"Checkpoint: ") == 1, said.decode()  # the first one speaks
    one, other = (load_file(out / "model.safetensors") for out in (broken, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)
