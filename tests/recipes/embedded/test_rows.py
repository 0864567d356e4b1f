"""Files of worked and corrupted solutions: what is judged in them, and that no problem is in two parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipes.embedded.rows import HELD_OUT, Part, problems_of, processbench_rows, step_rows
from stepscore_service.jobs.data.labelled import of_row


@pytest.fixture(scope="module")
def gsm8k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gsm8k") / "train.jsonl"
    rows = (
        {
            "question": f"Ann has {n} eggs and buys {n + 1}. She sells 2. How many?",
            "answer": f"She has {n}+{n + 1} = <<{n}+{n + 1}={2 * n + 1}>>{2 * n + 1} eggs.\n"
            f"Then {2 * n + 1}-2 = <<{2 * n + 1}-2={2 * n - 1}>>{2 * n - 1} eggs.\n#### {2 * n - 1}",
        }
        for n in range(2, 2 + HELD_OUT + 10)
    )
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_no_problem_is_in_two_parts(gsm8k: Path) -> None:
    parts = [{worked.problem for worked in problems_of(gsm8k, part)} for part in Part]
    assert [len(part) for part in parts] == [10, HELD_OUT // 2, HELD_OUT // 2]
    assert len(set().union(*parts)) == HELD_OUT + 10


def test_only_the_wrong_step_of_a_corrupted_solution_is_judged(gsm8k: Path) -> None:
    rows = [of_row(row) for row in step_rows(problems_of(gsm8k, Part.MEASURE)[:5])]
    clean = [row for row in rows if row.extras["kind"] == "clean"]
    wrong = [row for row in rows if row.extras["kind"] != "clean"]
    assert len(clean) == 5
    assert all(set(row.labels) == {1.0} for row in clean)
    assert {"result", "operation", "repeat"} <= {row.extras["kind"] for row in wrong}
    assert all(row.labels[-1] == 0.0 and set(row.labels[:-1]) <= {None} for row in wrong)
    assert rows == [of_row(row) for row in step_rows(problems_of(gsm8k, Part.MEASURE)[:5])]


def test_a_benched_solution_differs_from_the_clean_one_at_its_label_alone(gsm8k: Path) -> None:
    rows = list(processbench_rows(problems_of(gsm8k, Part.CALIBRATE)[:20]))
    clean = {row["id"].split("-")[0]: row for row in rows if row["label"] < 0}
    wrong = [row for row in rows if row["label"] >= 0]
    assert len(clean) == len(wrong) == 20
    for row in wrong:
        right = clean[row["id"].split("-")[0]]["steps"]
        assert len(row["steps"]) == len(right)
        assert [at for at, step in enumerate(row["steps"]) if step != right[at]] == [row["label"]]
