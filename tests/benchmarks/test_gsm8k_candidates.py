"""The converter of GSM8K's model solutions: every candidate with its own flag, no calculator notes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from gsm8k_candidates import GENERATORS, convert, convert_rows  # noqa: E402

REAL = ROOT.parent / "shared" / "data" / "gsm8k" / "model_solutions.jsonl"


def test_candidates_keep_their_flags_and_lose_their_notes(tmp_path: Path) -> None:
    solutions = {
        name: {"solution": f"2+{n}=<<2+{n}={2 + n}>>{2 + n}\nA: {2 + n}<<2+", "is_correct": n == 3}
        for n, name in enumerate(GENERATORS)
    }
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"question": "2+3?", "ground_truth": "A: 5", **solutions}) + "\n\n")
    assert convert(source, target) == 1
    row = json.loads(target.read_text())
    assert row["problem"] == "2+3?"
    assert row["candidates"] == [f"2+{n}={2 + n}\nA: {2 + n}" for n in range(4)]
    assert row["correct"] == [False, False, False, True]
    assert row["generators"] == list(GENERATORS)


def test_a_missing_column_is_no_candidate_less() -> None:
    with pytest.raises(KeyError):
        list(convert_rows(iter([{"question": "x"}])))


@pytest.mark.skipif(not REAL.exists(), reason="GSM8K's model solutions are not on this machine")
def test_the_real_file(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    assert convert(REAL, target) == 660
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert all(len(row["candidates"]) == len(row["correct"]) == 4 for row in rows)
    assert not any("<<" in candidate for row in rows for candidate in row["candidates"])
    assert 0.2 < sum(sum(row["correct"]) for row in rows) / (4 * 660) < 0.6
