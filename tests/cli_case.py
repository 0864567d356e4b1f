"""The command line as a user has it: in process for what it says, as a process of its own for what interrupts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from stepscore_service.commands.cli import app

ROOT = Path(__file__).parents[1]
PROBLEM = "How many eggs are left?"
STEPS = ["There are 16 - 3 = 13 eggs.", "She keeps 13 - 4 = 9.", "The answer is 9."]


def invoke(*arguments: str | Path, **options: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "stepscore_service.commands.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_alone(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, inside `folder`, with these environment variables besides."""
    return run_python(folder, "-m", "stepscore_service.commands.main", *arguments, **variables)


def run_python(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The same for any program in Python that imports our packages."""
    path = os.pathsep.join([str(ROOT / "models"), str(ROOT / "service"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=environment, timeout=200
    )


def write(path: Path, rows: Iterable[Mapping[str, Any] | str]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def solutions(count: int) -> list[dict[str, Any]]:
    return [{"id": f"n{n}", "problem": PROBLEM, "steps": [*STEPS, f"Check number {n}."]} for n in range(count)]
