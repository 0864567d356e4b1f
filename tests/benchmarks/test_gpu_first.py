"""The first run on a GPU, at small sizes on a CPU: every phase runs, and its results are written as it goes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
import torch

from benchmarks.gpu_first.__main__ import PHASES, main, run_phase
from benchmarks.gpu_first.bench import TINY, Bench
from benchmarks.gpu_first.kernels import ceilings


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of torch's compiler about itself
def test_every_phase_runs(tmp_path: Path) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    assert main(["--tiny", "--out", str(tmp_path / "found.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert not [row for row in rows if "failed" in row or "stopped" in row]
    assert [row["phase"] for row in rows if "seconds" in row] == list(PHASES)
    assert all(row["bitwise the same alone"] for row in rows if "bitwise the same alone" in row)
    assert all(row["relative difference"] < 0.05 for row in rows if "relative difference" in row)
    assert all(row["error from fp32"] < 0.05 for row in rows if "error from fp32" in row)
    engine = [row for row in rows if row["phase"] == "engine" and row.get("way") == "engine, fast"]
    assert [row["workload"] for row in engine] == ["4 singles", "rerank of 4", "beam 4x4x2", "tree of 4"]
    assert all(row["computed"] < row["prompt tokens"] and row["as graphs"] == row["forwards"] for row in engine)
    assert next(row["graphs and breaks"] for row in rows if "graphs and breaks" in row) == [1, 0]


def test_a_phase_over_its_time_keeps_what_it_has_measured() -> None:
    found: list[dict[str, object]] = []
    run_phase(Bench(TINY, torch.device("cpu")), "ceilings", ceilings, -1, found.append)
    assert found[0]["torch"] == torch.__version__
    assert found[-2]["stopped"] == "after -1 s"


def test_the_limits_fit_into_ten_minutes() -> None:
    assert sum(limit for _, limit in PHASES.values()) <= 600
