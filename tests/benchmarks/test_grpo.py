"""Word problems, and the report of runs that were stored."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.grpo.problems import answer_in, held_out_problems, training_problems, warm_up_problems, write_problems
from benchmarks.grpo.report import draw, tables
from benchmarks.grpo.sizes import ACCURACY, SECONDS


@given(st.integers(0, 10_000))
def test_each_calculation_of_a_solution_is_right_and_continues_the_one_before(seed: int) -> None:
    (problem,) = write_problems(1, seed)
    value = None
    for step in problem.steps[:-1]:
        found = re.fullmatch(r"(\d+)([-+*])(\d+)=(\d+)", step)
        assert found
        first, second, result = int(found[1]), int(found[3]), int(found[4])
        assert value in (None, first)
        assert result == {"+": first + second, "-": first - second, "*": first * second}[found[2]]
        value = result
    assert value == problem.answer == answer_in(problem.solution)


def test_held_out_problems_are_seen_nowhere_else() -> None:
    texts = [
        {each.text for each in some} for some in (warm_up_problems(), training_problems(64), held_out_problems(64))
    ]
    assert len(texts[2]) == 64
    assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]


def test_the_first_answer_counts_and_none_is_none() -> None:
    assert answer_in("The answer is -3.\n\nThe answer is 4.") == -3
    assert answer_in("So it is 4.") is None


def test_tables_and_picture_show_what_the_runs_logged(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "warm-up.json").write_text(json.dumps({"losses": [1.0], ACCURACY: 0.25}))
    for run, accuracy in (("process", 0.5), ("outcome", 0.75)):
        store_run(tmp_path / run, accuracy)
    shown = tables(tmp_path)
    assert "| held-out accuracy at step | 0 | 2 |" in shown
    assert "| process | 25.0% | 50.0% |" in shown
    assert "| outcome | 25.0% | 75.0% |" in shown
    assert "0.150 -> 0.150" in shown
    draw(tmp_path, tmp_path / "picture.svg")
    first = (tmp_path / "picture.svg").read_bytes()
    draw(tmp_path, tmp_path / "picture.svg")
    assert first == (tmp_path / "picture.svg").read_bytes()


def store_run(folder: Path, accuracy: float) -> None:
    """Two steps, as the trainer stores them."""
    log = [
        {"step": step, "reward": 0.1 * step, "process": 0.1 * step, "right": 0.1 * step, SECONDS: 3.0}
        for step in (1, 2)
    ]
    (folder / "checkpoint-2").mkdir(parents=True)
    state = {"log_history": [*log, {"step": 2, ACCURACY: accuracy}]}
    (folder / "checkpoint-2" / "trainer_state.json").write_text(json.dumps(state))
