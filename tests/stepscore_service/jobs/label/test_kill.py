"""A run that is killed, as the system kills: no handler, no goodbye."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli_case import write
from label_case import row, wrong_at

PROGRAM = """
import os, signal, sys
from functools import partial
from pathlib import Path
from label_case import ScriptedPolicy, plan, scripted
from label_case import write as script
from stepscore_service.jobs.label.run import run
from stepscore_service.jobs.label.options import FilterOptions, LabelRunOptions

left = int(sys.argv[2])

def deadly(prefix, number, rng):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return script(prefix, number, rng)

options = LabelRunOptions(Path(sys.argv[1]), shard_problems=2)
run(plan(k=3), "in.jsonl", options, partial(scripted, policy=ScriptedPolicy(deadly)))
"""


def run(folder: Path, out: str, rollouts: int) -> int:
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, out, str(rollouts)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode


@pytest.mark.slow
def test_a_killed_process_continues_to_the_same_files(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [row(number, *wrong_at(number % 4, 4)) for number in range(6)])
    assert run(tmp_path, "killed", 30) == -signal.SIGKILL
    assert (tmp_path / "killed" / "labels-00000.jsonl").exists()
    assert not (tmp_path / "killed" / "labels-00001.jsonl").exists()
    assert run(tmp_path, "killed", -1) == run(tmp_path, "whole", -1) == 0
    files = {
        name: {file.name: file.read_bytes() for file in (tmp_path / name).glob("*.json*")}
        for name in ("killed", "whole")
    }
    assert files["killed"] == files["whole"]
    assert len(files["whole"]) == 4
