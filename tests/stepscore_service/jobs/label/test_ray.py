"""The same labels from a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli_case import write
from label_case import row, wrong_at

PROGRAM = """
from pathlib import Path
from label_case import plan, scripted
from stepscore_service.jobs.label.run import run
from stepscore_service.jobs.label.options import FilterOptions, LabelRunOptions

for name, ray in (("here", None), ("cluster", "local")):
    run(plan("binary-search", k=3), "in.jsonl", LabelRunOptions(Path(name), shard_problems=2, ray=ray), scripted)
"""


@pytest.mark.slow
def test_a_cluster_writes_the_same_files(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    write(tmp_path / "in.jsonl", [row(number, *wrong_at(number % 5, 5)) for number in range(7)])
    tests = Path(__file__).parents[3]
    path = os.pathsep.join([str(tests), *sys.path])
    environment = os.environ | {"PYTHONPATH": path, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    here, cluster = (
        {file.name: file.read_bytes() for file in (tmp_path / name).glob("*.json*")} for name in ("here", "cluster")
    )
    assert len(here) == 5
    assert here == cluster
