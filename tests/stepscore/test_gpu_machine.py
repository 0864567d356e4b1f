"""What measures and tests a GPU starts on a machine that has PyTorch, transformers and pytest, and little else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ABSENT = (
    "fastapi",
    "gguf",
    "prometheus_client",
    "pydantic",
    "pydantic_settings",
    "pytest_asyncio",
    "starlette",
    "structlog",
)
IMPORT = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
import benchmarks.gpu_first.__main__
"""


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


def test_the_benchmark_imports_with_what_such_a_machine_has() -> None:
    folders = [str(ROOT), str(ROOT / "models"), str(ROOT / "service")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
