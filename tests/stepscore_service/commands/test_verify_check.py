"""`stepscore verify-check`: what it prints, lists and writes, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli_case import invoke, read, write
from stepscore.verify.open import VERIFIERS

ROWS: list[dict[str, Any]] = [
    {"solution": "#### 4", "answer": "4", "correct": True},
    {"solution": ["So 2 + 2 = 5.", "#### 5"], "answer": "4", "correct": True},
    {"candidates": ["#### 1/2", "no number"], "answer": "0.5", "correct": [False, False]},
    {
        "question": "2 + 2?",
        "ground_truth": "2 + 2 = 4\nA: 4",
        "small": {"is_correct": True, "solution": "A: 4"},
        "large": {"is_correct": False, "solution": "A: 7"},
    },
]


def test_errors_are_counted_listed_and_written(tmp_path: Path) -> None:
    file = write(tmp_path / "sample.jsonl", ROWS)
    result = invoke("verify-check", file, "--verifier", "math")
    assert result.exit_code == 0, result.stderr
    summary = json.loads((tmp_path / "sample.verified.summary.json").read_text())
    counts = {name: (rate["hits"], rate["count"]) for name, rate in summary.items()}
    assert counts == {
        "false_positives": (1, 3),
        "false_negatives": (1, 3),
        "unreadable_wrong": (1, 3),
        "unreadable_right": (0, 3),
    }
    assert "line 2 solution: is right, called wrong. 5 is not 4" in result.stderr
    assert "line 3 0: is wrong, called right. 0.5" in result.stderr
    assert "1 of 3" in result.stdout


def test_a_second_run_continues_and_keeps_the_numbers(tmp_path: Path) -> None:
    file, out = write(tmp_path / "sample.jsonl", ROWS), tmp_path / "out.jsonl"
    invoke("verify-check", file, "--verifier", "numeric:0.01", "--out", out)
    whole, summary = out.read_text(), (tmp_path / "out.summary.json").read_text()
    out.write_text("".join(whole.splitlines(keepends=True)[:2]))
    assert invoke("verify-check", file, "--verifier", "numeric:0.01", "--out", out).exit_code == 0
    assert out.read_text() == whole
    assert (tmp_path / "out.summary.json").read_text() == summary


@pytest.mark.parametrize(
    ("row", "verifier", "says"),
    [
        ({"solution": "A: 4", "answer": "4"}, "math", "'correct' is missing"),
        ({"solution": "A: 4", "answer": "4", "correct": "yes"}, "math", "must be true or false, not text"),
        ({"solution": "A: 4", "correct": True}, "math", '"answer" or "tests" is missing'),
        ({"solution": 4, "answer": "4", "correct": True}, "math", "solution is a number, not a text"),
        ({"candidates": ["A: 4"], "answer": "4", "correct": [True, False]}, "math", "lists of one length"),
        (ROWS[0], "maths", "choose one of math"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_written(
    tmp_path: Path, row: dict[str, Any], verifier: str, says: str
) -> None:
    file = write(tmp_path / "sample.jsonl", [row])
    result = invoke("verify-check", file, "--verifier", verifier)
    assert result.exit_code == 2
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == [file]


def test_a_later_row_that_cannot_be_used_costs_only_itself(tmp_path: Path) -> None:
    file = write(tmp_path / "sample.jsonl", [ROWS[0], {"solution": "A: 4", "correct": True}, ROWS[3]])
    result = invoke("verify-check", file, "--verifier", "math")
    assert result.exit_code == 1
    rows = read(tmp_path / "sample.verified.jsonl")
    assert [("error" in row, row["line"]) for row in rows] == [(False, 1), (True, 2), (False, 3)]


@pytest.mark.parametrize("command", ["verify-check", "label"])
def test_the_help_names_every_verifier(command: str) -> None:
    shown = invoke(command, "--help").output
    assert [name for name in VERIFIERS if not re.search(rf"\b{name}\b", shown[shown.index("--verifier") :])] == []
