"""The tests of the GPU start on a machine that has PyTorch and pytest, and nothing else of the development tools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPTIONS = ("-m", "gpu", "--collect-only", "-q", "tests/stepscore/engine/torch/test_cuda.py")


def test_collected_without_the_other_plugins_of_pytest() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:asyncio",
        "-p",
        "no:timeout",
        "-m",
        "gpu",
        "--collect-only",
        "-q",
    ]
    done = subprocess.run(
        [*command, "tests/stepscore/engine/torch/test_cuda.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_chunks_on_cuda" in done.stdout
