"""An input column named `error` is the user's, in every command that reads rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli_case import PROBLEM, STEPS, invoke, read, write

MINE: list[Any] = ["none", "", None, 0.25, {"code": "mine"}, ["a"]]
SOLUTION = {"problem": PROBLEM, "steps": STEPS}
CANDIDATES = {"problem": PROBLEM, "candidates": ["2+3=5\nA: 5", "A: 6"], "answer": "5"}
LABELLED = {"prompt": PROBLEM, "completions": STEPS, "labels": [True, True, False]}
JUDGED = {"solution": "#### 4", "answer": "4", "correct": True}
TASK = {"problem": "3 + 4?", "answer": "7", "steps": ["3 + 4 = 7"]}


def rows(tmp_path: Path, row: dict[str, Any]) -> Path:
    return write(tmp_path / "in.jsonl", [row, *(row | {"error": mine} for mine in MINE)])


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


@pytest.mark.parametrize(("command", "row"), [("score", SOLUTION), ("rerank", CANDIDATES)])
def test_score_and_rerank_count_no_failure(tmp_path: Path, fake: list[str], command: str, row: dict[str, Any]) -> None:
    out = tmp_path / "out.jsonl"
    done = invoke(command, rows(tmp_path, row), "--out", out, *fake)
    assert done.exit_code == 0, done.output
    assert [("rewards" in each or "results" in each) for each in read(out)] == [True] * (1 + len(MINE))
    assert invoke("report", out, "--out", tmp_path / "report").exit_code == 0


def test_verify_check_measures_every_row(tmp_path: Path) -> None:
    done = invoke("verify-check", rows(tmp_path, JUDGED), "--verifier", "math")
    assert done.exit_code == 0, done.output
    assert [each["judged"][0]["outcome"] for each in read(tmp_path / "in.verified.jsonl")] == ["right"] * (
        1 + len(MINE)
    )


def test_label_labels_every_row(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = invoke("label", rows(tmp_path, TASK), "--out", out, "--method", "check:arithmetic")
    assert done.exit_code == 0, done.output
    assert len(read(out / "labels-00000.jsonl")) == 1 + len(MINE)


def test_evaluate_measures_every_row(tmp_path: Path, fake: list[str]) -> None:
    out = tmp_path / "out"
    done = invoke("evaluate", "--steps", rows(tmp_path, LABELLED), "--out", out, "--no-probes", *fake)
    assert done.exit_code == 0, done.output
    assert "cannot be used" not in done.output


def test_best_of_n_measures_every_row(tmp_path: Path, fake: list[str]) -> None:
    out = tmp_path / "out"
    done = invoke("evaluate", "--best-of-n", rows(tmp_path, CANDIDATES), "--out", out, *fake)
    assert done.exit_code == 0, done.output
    assert [each["correct"] for each in read(out / "rows" / "best_of_n-in.jsonl")] == [[True, False]] * (1 + len(MINE))


def test_annotate_chooses_among_every_row(tmp_path: Path, fake: list[str]) -> None:
    out = tmp_path / "chosen.jsonl"
    done = invoke(
        "annotate", "select", rows(tmp_path, SOLUTION), "--budget", "7", "--one-per-solution", "--out", out, *fake
    )
    assert done.exit_code == 0, done.output
    assert len(read(out)) == 1 + len(MINE)
