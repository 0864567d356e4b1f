"""Data as the recipe reads them, made small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    folder = tmp_path / "steps"
    folder.mkdir()

    def row(number: int, steps: list[str], error: int) -> str:
        labels = [1] * len(steps) if error < 0 else [1] * error + [0] + [None] * (len(steps) - error - 1)
        return json.dumps({"problem": f"Problem {number}?", "steps": steps, "labels": labels, "first_error": error})

    wrong = [row(number, ["3 + 4 = 7.", "7 * 2 = 15.", "So 15."], 1) for number in range(8)]
    right = [row(number, ["3 + 4 = 7.", "7 * 2 = 14."], -1) for number in range(4, 12)]
    (folder / "verify_then_generate.jsonl").write_text("\n".join([*wrong, row(4, ["3 + 4 = 8.", " "], 0)]))
    (folder / "verify_then_generate_correct.jsonl").write_text("\n".join(right))
    return folder
