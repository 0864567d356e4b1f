"""A labelled solution and its row: one is the other, and a row that cannot be used says why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.errors import InvalidInput, NoSteps
from stepscore.types import Solution
from stepscore_service.jobs.data.labelled import Labelled, of_row, to_row

labels = st.none() | st.floats(0, 1)
pairs = st.lists(st.tuples(st.text(min_size=1), labels), min_size=1, max_size=6)
ROW: dict[str, Any] = {"prompt": "1+1?", "completions": ["1+1 = 2", "2"], "labels": [True, 0.25]}


@given(st.text(), pairs, st.none() | st.booleans())
def test_a_row_is_read_as_it_was_written(problem: str, steps: list[tuple[str, float | None]], outcome: bool) -> None:
    texts, targets = zip(*steps, strict=True)
    labelled = Labelled(Solution(problem, texts), targets, outcome, {"id": 7})
    assert of_row(to_row(labelled)) == labelled


def test_hard_labels_are_written_as_trl_reads_them() -> None:
    row = to_row(Labelled(Solution("p", ("a", "b", "c")), (1.0, 0.0, None)))
    assert row == {"prompt": "p", "completions": ["a", "b", "c"], "labels": [True, False, None]}


@pytest.mark.parametrize(
    ("labels", "error_below", "first"),
    [
        ((0.75, None, 0.25, 0.0), 0.0, 3),
        ((0.75, None, 0.25, 0.0), 0.5, 2),
        ((0.75, None, 0.25, 0.0), 0.8, 0),
        ((0.75, None, 0.25), 0.0, None),
        ((0.75, None, 0.25), 0.25, None),
        ((0.0, 1.0), 0.0, 0),
    ],
)
def test_an_error_is_a_label_of_0_or_below_the_stated_one(
    labels: tuple[float | None, ...], error_below: float, first: int | None
) -> None:
    assert Labelled(Solution("p", ("a",) * len(labels)), labels).first_error(error_below) == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": [True]}, "1 labels for 2 steps"),
        ({"labels": [True, 2]}, r"'labels' \(entry 1\) is 2, not true, false, null or a number in \[0, 1\]"),
        ({"labels": [True, float("nan")]}, r"entry 1\) is nan, not true"),
        ({"labels": "yes"}, "'labels' is text, not a list"),
        ({"completions": "one"}, "'completions' is text, not a list"),
        ({"prompt": 3}, "'prompt' is a number, not text"),
        ({"outcome": "yes"}, "outcome"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        of_row(ROW | change)


def test_missing_columns_and_steps_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"'labels' is missing \(columns: prompt, completions"):
        of_row({name: ROW[name] for name in ("prompt", "completions")})
    with pytest.raises(NoSteps):
        of_row(ROW | {"completions": [], "labels": []})
