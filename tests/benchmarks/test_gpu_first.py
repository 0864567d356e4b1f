"""The first run on a GPU, at small sizes on a CPU: every phase runs, and its results are written as it goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
import torch

from benchmarks.gpu_first.__main__ import PHASES, Record, main, run, run_phase
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


def small(measure: Iterator[dict[str, object]]) -> Callable[[Bench], Iterator[dict[str, object]]]:
    return lambda bench: measure


def of(*found: dict[str, object], error: Exception | None = None) -> Iterator[dict[str, object]]:
    yield from found
    if error is not None:
        raise error


def test_results_are_added_to_a_file_and_never_replace_those_of_another_run(tmp_path: Path) -> None:
    out = tmp_path / "found.jsonl"
    out.write_text('{"phase": "of another day"}\n')
    assert main(["--tiny", "--only", "ceilings", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["phase"] for row in rows[:2]] == ["of another day", "ceilings"]


def test_a_full_disk_costs_the_file_and_not_the_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tiny", "--only", "ceilings", "--out", "/dev/full"]) == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["phase"] for line in printed.out.splitlines()][-1] == "ceilings"
    assert printed.err.count("results are printed only") == 1


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tiny", "--out", str(tmp_path / "absent" / "found.jsonl")]) == 1
    printed = capsys.readouterr()
    assert "name another file with --out" in printed.err
    assert not printed.out


@pytest.mark.parametrize(
    ("error", "run_after", "code"),
    [
        (RuntimeError("no kernel for this card"), True, 1),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, 1),
        (None, True, 0),
    ],
)
def test_a_phase_that_fails_shows_in_the_exit_code_and_costs_the_others_only_if_the_device_is_lost(
    error: Exception | None, run_after: bool, code: int, tmp_path: Path
) -> None:
    record, bench = Record(tmp_path / "found.jsonl"), Bench(TINY, torch.device("cpu"))
    phases = {"first": (small(of({"ms": 1}, error=error)), 9), "second": (small(of({"ms": 2})), 9)}
    assert run(bench, phases, record, 1) == code
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert rows[0] == {"phase": "first", "ms": 1}
    assert any(row["phase"] == "second" for row in rows) is run_after
    assert record.failed == (["first"] if error else [])


def test_the_limits_fit_into_ten_minutes() -> None:
    assert sum(limit for _, limit in PHASES.values()) <= 600
