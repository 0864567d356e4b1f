"""The recorded run of docs/jobs.md, command by command, on a few rows: what it is told to do can be repeated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from readme_blocks import ROOT, blocks

DATA = ROOT.parent / "shared" / "data"
SMALLER = {
    "--problems 40": "--problems 10",
    "--problems 30": "--problems 8",
    "--problems 20": "--problems 6",
    "head -60": "head -24",
    "head -80": "head -24",
    "1001,1004p": "1001,1002p",
    "--lora 16": "--lora 2",
    "--steps 5": "--steps 2",
    "-k 2": "-k 1",
    "--rollout-tokens 112": "--rollout-tokens 24",
}
NONE_RIGHT = 1


def recorded_commands() -> list[str]:
    section = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8").partition("## A recorded run")[2]
    commands = [command for block in blocks(section) for command in block.commands if block.language == "console"]
    for size, smaller in SMALLER.items():
        assert any(size in command for command in commands), f"no command holds {size}"
        commands = [command.replace(size, smaller) for command in commands]
    return commands


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data in {DATA}")
def test_every_command_of_the_recorded_run_can_be_repeated(tmp_path: Path) -> None:
    *preparing, last = recorded_commands()
    assert last.startswith("stepscore serve")
    rows = preparing[0]
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "DATA": str(DATA), "PATH": own, "PYTHONPATH": path, "STEPSCORE_CPU_BFLOAT16": "0"}
    for command in preparing[1:]:
        done = subprocess.run(
            ["bash", "-euc", f"{rows}\n{command}"],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        allowed = {0, NONE_RIGHT} if command.startswith("stepscore label") else {0}
        assert done.returncode in allowed, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert (tmp_path / "runs" / "report" / "report.html").is_file()
    assert (tmp_path / "runs" / "prm" / "config.json").is_file()
