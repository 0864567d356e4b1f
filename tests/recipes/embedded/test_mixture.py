"""The training mixture: whole problems, the same each time, and none of them in the development split."""

from __future__ import annotations

import json
import random
from pathlib import Path

from recipes.embedded.mixture import COLUMNS, labelled_rows, real_groups, write_rows
from stepscore_service.jobs.data.labelled import of_row


def test_a_step_after_the_first_error_is_not_judged(steps: Path) -> None:
    first = of_row(next(labelled_rows(steps / "verify_then_generate.jsonl")))
    assert first.labels == (1.0, 0.0, None)


def test_a_solution_with_an_empty_step_is_left_out(steps: Path) -> None:
    assert len(list(labelled_rows(steps / "verify_then_generate.jsonl"))) == 8


def test_problems_have_a_wrong_and_a_right_solution_side_by_side(steps: Path) -> None:
    groups = real_groups(steps, random.Random(0))
    assert sorted(group[0]["prompt"] for group in groups) == [f"Problem {number}?" for number in range(4, 8)]
    assert all([row["outcome"] for row in group] == [False, True] for group in groups)


def test_the_same_seed_gives_the_same_order(steps: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_rows(tmp_path / name, real_groups(steps, random.Random(7)))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert set(json.loads((tmp_path / "one").read_text().splitlines()[0])) == set(COLUMNS)
