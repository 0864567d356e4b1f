"""The training mixture: whole problems, the same each time, and none of them in the development split."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from recipes.embedded.mixture import COLUMNS, labelled_rows, real_groups, right_and_wrong, sampled_mixture, write_rows
from stepscore_service.jobs.data.labelled import of_row


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


def test_a_sampled_problem_brings_its_samples_its_worked_solution_and_mistakes(steps: Path, tmp_path: Path) -> None:
    data, sampled = tmp_path / "data", tmp_path / "sampled.jsonl"
    (data / "gsm8k").mkdir(parents=True)
    steps.rename(data / "steps")
    problems = [{"question": f"Problem {number}?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"} for number in range(600)]
    (data / "gsm8k" / "train.jsonl").write_text("\n".join(map(json.dumps, problems)))
    rows = [
        dict(zip(COLUMNS, (f"Problem {number}?", ["So 7."], [True], True), strict=True))
        for number in (4, 50)
        for _ in "ab"
    ]
    write_rows(sampled, [rows])
    by_problem: dict[str, list[list[str]]] = {}
    for group in sampled_mixture(data, sampled):
        by_problem.setdefault(group[0]["prompt"], []).append([row["completions"][0] for row in group])
    assert set(by_problem) == {"Problem 4?", "Problem 50?"}
    assert len(by_problem["Problem 4?"]) == 2  # the samples' group, and the real source's
    (own,) = by_problem["Problem 50?"]
    assert own[:2] == ["So 7.", "So 7."]
    assert 3 <= len(own) <= 5


def test_the_head_sees_one_right_and_one_wrong_solution_of_a_problem() -> None:
    rows = [dict(zip(COLUMNS, ("Who?", [text], [right], right), strict=True)) for text, right in PICKED]
    made = [rows[0] | {"id": "0", "kind": "clean"}]
    assert right_and_wrong([*rows, *made]) == [rows[1], rows[0], *made]
    assert right_and_wrong([rows[0], *made]) == []


PICKED = (("No.", False), ("Yes.", True), ("Yes, yes.", True), ("No, no.", False))
