"""Rows of the input: what is taken, and how a row that cannot be used is named."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.errors import InvalidInput
from stepscore_service.jobs.label.task import attempt_of_steps, attempt_of_text, task_of

PROBLEM = {"problem": "3 + 4?", "answer": "7"}


def test_gsm8k_rows_are_taken_as_they_are() -> None:
    task = task_of({"question": "3 + 4? ", "answer": "3+4=<<3+4=7>>7\n#### 7"}, 5)
    assert (task.problem, task.truth.answer, task.attempts, task.id, task.line) == ("3 + 4?", "7", (), "5", 5)


@pytest.mark.parametrize(
    ("column", "steps"),
    [
        ({"steps": ["a", "b"]}, [("a", "b")]),
        ({"solution": "a\nb"}, [("a", "b")]),
        ({"solutions": ["a\n\nb", ["c"]]}, [("a", "b"), ("c",)]),
        ({}, []),
    ],
)
def test_solutions_stand_in_any_of_three_columns(column: dict[str, Any], steps: list[tuple[str, ...]]) -> None:
    assert [attempt.steps for attempt in task_of(PROBLEM | column, 1).attempts] == steps


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"answer": "7"}, "problem"),
        ({"problem": " ", "answer": "7"}, "problem"),
        ({"problem": "3 + 4?", "answer": ["7"]}, "answer"),
        (PROBLEM | {"steps": ["a"], "solution": "a"}, "steps"),
        (PROBLEM | {"solutions": "a"}, "solutions"),
        (PROBLEM | {"solutions": [[1]]}, "solutions"),
        (PROBLEM | {"steps": []}, "steps"),
        (PROBLEM | {"tests": 3}, "tests"),
        (PROBLEM | {"steps": ["a", "b"], "labels": [True, True, False]}, "labels"),
    ],
)
def test_a_row_that_cannot_be_used_names_its_column(row: dict[str, Any], column: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        task_of(row, 1)
    assert caught.value.detail["field"] == column
    assert f'"{column}"' in caught.value.message or column in caught.value.message


@given(st.lists(st.text("ab ", min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_prefixes_grow_to_the_whole_text(steps: list[str]) -> None:
    """Given as steps or as text: each prefix begins the next, and the last is everything."""
    for attempt in (attempt_of_steps(steps, "\n\n"), attempt_of_text("\n\n".join(steps), "paragraphs")):
        prefixes = [attempt.prefix(count) for count in range(len(attempt.steps) + 1)]
        assert prefixes[0] == ""
        assert prefixes[-1] == attempt.text == "\n\n".join(steps)
        assert all(later.startswith(earlier) for earlier, later in pairwise(prefixes))
        assert all(prefix.rstrip(" ").endswith("\n\n") for prefix in prefixes[1:-1])
