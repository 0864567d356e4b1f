"""The class head's rows: right and wrong solutions of the same problems, none near what is kept out."""

from __future__ import annotations

import json
from pathlib import Path

from recipes.embedded.head_rows import head_rows, right_and_wrong, sampled_groups
from recipes.embedded.mixture import COLUMNS, write_rows


def with_problems(steps: Path) -> Path:
    """The folder of `steps` and of training problems."""
    (steps.parent / "gsm8k").mkdir()
    problems = [{"question": f"Problem {number}?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"} for number in range(600)]
    (steps.parent / "gsm8k" / "train.jsonl").write_text("\n".join(map(json.dumps, problems)))
    return steps.parent


def test_a_sampled_problem_brings_its_samples_its_worked_solution_and_mistakes(steps: Path, tmp_path: Path) -> None:
    data, sampled = with_problems(steps), tmp_path / "sampled.jsonl"
    rows = [
        dict(zip(COLUMNS, (f"Problem {number}?", ["So 7."], [True], True), strict=True))
        for number in (4, 50)
        for _ in "ab"
    ]
    write_rows(sampled, [rows])
    by_problem: dict[str, list[list[str]]] = {}
    for group in sampled_groups(data, sampled):
        by_problem.setdefault(group[0]["prompt"], []).append([row["completions"][0] for row in group])
    assert set(by_problem) == {"Problem 4?", "Problem 50?"}
    assert len(by_problem["Problem 4?"]) == 2  # the samples' group, and the real source's
    (own,) = by_problem["Problem 50?"]
    assert own[:2] == ["So 7.", "So 7."]
    assert 3 <= len(own) <= 5


def test_the_head_sees_as_many_right_solutions_of_a_problem_as_wrong_ones() -> None:
    rows = [dict(zip(COLUMNS, ("Who?", [text], [right], right), strict=True)) for text, right in PICKED]
    made = [rows[0] | {"id": "0", "kind": kind} for kind in ("clean", "result", "operation")]
    assert right_and_wrong([*rows, *made], 0) == ([rows[1], rows[2], rows[0], rows[3]], made[:2])
    assert right_and_wrong([*rows[:3], *made[:2]], 0) == ([rows[1], rows[0]], made[:2])
    assert right_and_wrong([rows[0], *made], 0) is None


def test_every_pass_takes_other_solutions_and_mistakes_as_far_as_there_are_others() -> None:
    rows = [dict(zip(COLUMNS, ("Who?", [text], [right], right), strict=True)) for text, right in PICKED]
    made = [rows[0] | {"id": "0", "kind": kind} for kind in ("clean", "result", "operation")]
    group = [*rows[:3], *made]  # one wrong solution, two right ones
    turns = [right_and_wrong(group, turn) for turn in range(3)]
    assert turns == [
        ([rows[1], rows[0]], [made[0], made[1]]),
        ([rows[2], rows[0]], [made[0], made[2]]),
        ([rows[1], rows[0]], [made[0], made[1]]),
    ]


PICKED = (("No.", False), ("Yes.", True), ("Yes, yes.", True), ("No, no.", False))


def test_no_problem_near_one_that_is_kept_out_is_among_the_rows(steps: Path, tmp_path: Path) -> None:
    data, sampled = with_problems(steps), tmp_path / "sampled.jsonl"
    write_rows(sampled, [])
    near = {"problem": "problem 5", "steps": ["7."], "first_error": -1, "problem_source": "orca-math"}
    (steps / "parc.jsonl").write_text(json.dumps(near))
    (data / "gsm8k" / "test.jsonl").write_text(json.dumps({"question": "Problem 6 ?", "answer": "#### 7"}))
    problems = {group[0]["prompt"] for group in head_rows(data, sampled)}
    assert problems.isdisjoint({"Problem 5?", "Problem 6?"})
    assert {"Problem 4?", "Problem 7?"} <= problems
