"""Ctrl-C, as a terminal sends it: the run ends with a whole checkpoint, and goes on as if nothing had been."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import checkpoints_causal as checkpoints
from cli_case import invoke, start, write

STEPS = 40
SECONDS = 200.0


def rows() -> list[dict[str, Any]]:
    return [
        {"prompt": f"{n} + 1?", "completions": [f"{n} + 1 = {n + wrong}", "Done."], "labels": [not wrong, None]}
        for n in range(1, 9)
        for wrong in (0, 1)
    ]


def until_checkpoint(process: subprocess.Popen[bytes], out: Path) -> None:
    """Wait for the first whole checkpoint; the run is then in its loop."""
    until = time.monotonic() + SECONDS
    while not list(out.glob("checkpoints/checkpoint-*/trainer_state.json")) and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def test_ctrl_c_leaves_a_whole_checkpoint_and_the_run_goes_on_from_it(tmp_path: Path) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    options = ["--steps", STEPS, "--batch", 4, "--save-steps", 4, "--learning-rate", "1e-3"]
    command = ["train", data, "--base", base, *map(str, options)]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = start(*command, "--out", broken)
    until_checkpoint(process, broken)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"--resume continues from it" in said
    stopped = stopped_at(broken)
    assert 4 <= stopped < STEPS
    assert not (broken / "config.json").exists()
    assert invoke(*command, "--out", broken, "--resume").exit_code == 0
    assert invoke(*command, "--out", whole).exit_code == 0
    one, other = (load_file(out / "model.safetensors") for out in (broken, whole))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_second_ctrl_c_says_how_to_continue_and_leaves_no_traceback(tmp_path: Path) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    command = [sys.executable, "-m", "stepscore_service.commands.main", "train", str(data), "--base", str(base)]
    options = ["--out", str(tmp_path / "out"), "--batch", "4", "--save-steps", "4", "--steps", "100000"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until_checkpoint(process, tmp_path / "out")
    process.send_signal(signal.SIGINT)
    time.sleep(0.005)  # Python would take two signals that arrive together for one
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT), said  # the latter if the run had ended when the second came
    assert b"--resume continues from it" in said
    assert b"Traceback" not in said
    whole = tmp_path.glob("out/checkpoints/checkpoint-*/trainer_state.json")  # written last; what is torn has none
    assert list(whole)


def stopped_at(out: Path) -> int:
    """The step of the newest checkpoint, which holds all that a run goes on from."""
    newest = max(out.glob("checkpoints/checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
    held = {file.name for file in newest.iterdir()}
    assert {"trained.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"} <= held
    state = json.loads((newest / "trainer_state.json").read_text())
    assert newest.name == f"checkpoint-{state['global_step']}"
    return int(state["global_step"])
