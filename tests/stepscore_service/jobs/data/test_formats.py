"""Every format gives the same kind of thing, and says what is wrong with a row by file, line and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.formats.base import ParseOptions
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.train.inputs import TrainInputs, open_inputs

TRL = {"prompt": "P?", "completions": ["a", "b"], "labels": [True, 0.25], "outcome": False}
SHEPHERD = {
    "input": "Janet ки pays? Step 1: She pays 3. ки\nStep 2: The answer is 4. ки",
    "label": "Janet + pays? Step 1: She pays 3. +\nStep 2: The answer is 4. -",
    "task": "GSM8K",
}
RLHFLOW = {
    "conversations": [
        {"role": "user", "content": "Convert $(0,3)$ to polar. To convert, we use r."},
        {"role": "assistant", "content": "+"},
        {"role": "user", "content": "So r is 4."},
        {"role": "assistant", "content": "-"},
    ]
}
BENCH = {"id": "m-0", "problem": "P?", "steps": ["a", "b", "c"], "label": 1, "final_answer_correct": False}
PRM800K = {
    "question": {"problem": "GCF?"},
    "label": {
        "steps": [
            {"completions": [{"text": "a", "rating": 0}], "human_completion": None, "chosen_completion": 0},
            {"completions": [{"text": "bad", "rating": -1}], "human_completion": "b", "chosen_completion": None},
            {
                "completions": [{"text": "x", "rating": -1}, {"text": "y", "rating": 0}, {"text": "z", "rating": None}],
                "human_completion": None,
                "chosen_completion": None,
            },
        ],
        "finish_reason": "found_error",
    },
}


def write_rows(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    file = folder / name
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def read(folder: Path, *rows: Any, **options: Any) -> list[Labelled]:
    return list(TrainInputs(open_inputs([write_rows(folder, *rows)]), **options).solutions())


def shape(labelled: Labelled) -> tuple[str, tuple[str, ...], tuple[float | None, ...]]:
    return labelled.solution.problem, labelled.solution.steps, labelled.labels


def test_rows_of_trl(tmp_path: Path) -> None:
    (found,) = read(tmp_path, TRL)
    assert shape(found) == ("P?", ("a", "b"), (1.0, 0.25))
    assert found.outcome is False


def test_math_shepherd_drops_the_label_inside_the_problem(tmp_path: Path) -> None:
    (found,) = read(tmp_path, SHEPHERD)
    assert shape(found) == ("Janet  pays?", ("Step 1: She pays 3.", "Step 2: The answer is 4."), (1.0, 0.0))
    assert found.outcome is False


def test_math_shepherd_without_numbered_steps_begins_behind_the_question(tmp_path: Path) -> None:
    (found,) = read(tmp_path, {"input": "How many? Three. ки\nFour. ки", "label": "How many? Three. +\nFour. -"})
    assert shape(found) == ("How many?", ("Three.", "Four."), (1.0, 0.0))


FOLLOW = "Follow Step 1: add. What is 3+4?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{FOLLOW} Step 1: 7 ки", (FOLLOW, ("Step 1: 7",), (1.0,))),
        (
            f"{FOLLOW}\nStep 1: 7 ки\nStep 2: by Step 1: 7 ки",
            (FOLLOW, ("Step 1: 7", "Step 2: by Step 1: 7"), (1.0, 1.0)),
        ),
        ("3+4? Step 1: 7 ки\nStep 2: so 7", ("3+4?", ("Step 1: 7", "Step 2: so 7"), (1.0, None))),
        ("3+4? Step 1: 7 ки Step 2: The answer is 7", ("3+4?", ("Step 1: 7", "Step 2: The answer is 7"), (1.0, None))),
    ],
)
def test_math_shepherd_loses_no_text(tmp_path: Path, text: str, expected: object) -> None:
    (found,) = read(tmp_path, {"input": text, "label": text.replace("ки", "+")})
    assert (shape(found), found.outcome) == (expected, None)


@pytest.mark.parametrize(
    "text",
    [
        "Step 1: add. Step 1: 7 ки",
        "3+4? Step 1: as in Step 1: 7 ки",
        "Use Step 1: or Step 1: here ки",
        "Follow Step 1: add ки. What is 3+4? Step 1: 7 ки",
        "Step 1: add ки\nStep 1: 7 ки",
    ],
)
def test_math_shepherd_refuses_a_row_whose_problem_may_end_at_several_places(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="the problem may end"):
        read(tmp_path, {"input": text, "label": text.replace("ки", "+")})


def test_conversations_of_rlhflow(tmp_path: Path) -> None:
    (found,) = read(tmp_path, RLHFLOW)
    assert shape(found) == ("Convert $(0,3)$ to polar.", ("To convert, we use r.", "So r is 4."), (1.0, 0.0))


def test_processbench_judges_nothing_behind_the_first_error(tmp_path: Path) -> None:
    (found,) = read(tmp_path, BENCH)
    assert shape(found) == ("P?", ("a", "b", "c"), (1.0, 0.0, None))


@pytest.mark.parametrize(("zero_is_good", "neutral"), [(True, 1.0), (False, 0.0)])
def test_prm800k_in_both_readings_of_zero(tmp_path: Path, zero_is_good: bool, neutral: float) -> None:
    found = [shape(each) for each in read(tmp_path, PRM800K, reading=ParseOptions(zero_is_good))]
    assert found == [
        ("GCF?", ("a", "bad"), (None, 0.0)),
        ("GCF?", ("a", "b", "x"), (None, None, 0.0)),
        ("GCF?", ("a", "b", "y"), (None, None, neutral)),
        ("GCF?", ("a", "b"), (neutral, 1.0)),
    ]


def test_a_folder_of_shards_and_a_json_array_are_inputs(tmp_path: Path) -> None:
    shards = tmp_path / "labels"
    shards.mkdir()
    write_rows(shards, TRL, name="labels-00000.jsonl")
    write_rows(shards, TRL, name="labels-00001.jsonl")
    array = tmp_path / "bench.json"
    array.write_text(json.dumps([BENCH], indent=1))
    assert len(list(TrainInputs(open_inputs([shards, array])).solutions())) == 3


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (TRL | {"labels": [True, True, False]}, "line 2, column labels: 3 labels for 2 steps"),
        (BENCH | {"label": 3}, "names no step"),
        (BENCH | {"label": 1.5}, "'label' is a number, not a whole number"),
        (BENCH | {"label": True}, "'label' is true or false, not a whole number"),
        ({"prompt": "P?", "completions": ["a"]}, "line 2, column labels: 'labels' is missing"),
        ("{", "line 2"),
        ([1], "line 2 is a list, not an object"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: Any, said: str) -> None:
    first = BENCH if isinstance(row, dict) and "steps" in row else TRL
    with pytest.raises(InvalidInput, match=r"rows\.jsonl") as caught:
        read(tmp_path, first, row)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"completions": [None]}, "'label'"),
        ({"completions": [3]}, "'label'"),
        ({"completions": "text"}, "'label'"),
        ({"completions": [{"rating": 1}]}, "lacks 'text'"),
        ({"completions": [{"text": "a", "rating": 2}]}, "'label' (entry 0) is 2"),
        (
            {"completions": [{"text": "a"}], "chosen_completion": "text"},
            "(entry 0) is text, not a whole number",
        ),
        ({"completions": [{"text": "a"}], "chosen_completion": True}, "whole number"),
        ({"completions": [{"text": "a"}], "chosen_completion": 1}, "names none of 1"),
        ({"human_completion": {"rating": 1}}, "'label'"),
        (None, "'label'"),
        ("text", "'label'"),
    ],
)
def test_a_step_of_prm800k_that_is_none_is_a_bad_row(tmp_path: Path, step: Any, said: str) -> None:
    row = {"question": {"problem": "P?"}, "label": {"steps": [step]}}
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, PRM800K, row)
    assert said in caught.value.message
    assert "line 2" in caught.value.message
    assert read(tmp_path, PRM800K, row, skip_bad=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rewards": [0.5]}, "1 rewards for 2 steps"),
        ({"rewards": [0.5, 1.5]}, "only the rewards of a model"),
        ({"rewards": ["0.5", 1]}, "not a list of numbers"),
        ({"rewards": None, "error": {"code": "too_long"}}, r"could not be scored (too_long)"),
    ],
)
def test_scores_that_cannot_be_labels_are_bad_rows(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    row = {"problem": "P?", "steps": ["a", "b"], "rewards": [0.25, 1.0]}
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, row, row | change)
    assert said in caught.value.message


def test_wrong_columns_tell_what_every_format_needs(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"columns text are of no known format .*math_shepherd: input, label"):
        read(tmp_path, {"text": "x"})


def test_so_many_bad_rows_are_passed_over_and_counted(tmp_path: Path) -> None:
    inputs = TrainInputs(open_inputs([write_rows(tmp_path, TRL, "{", TRL)]), skip_bad=1)
    assert len(list(inputs.solutions())) == 2
    assert len(inputs.bad) == 1
    with pytest.raises(InvalidInput, match="line 4"):
        read(tmp_path, TRL, "{", TRL, "{", skip_bad=1)


def test_whole_numbers_and_truths_may_be_written_as_pandas_writes_them(tmp_path: Path) -> None:
    """A column in which one is missing becomes 1.0, 0.0 and null (pandas-dev/pandas issue 57224)."""
    assert read(tmp_path, BENCH | {"label": 1.0, "final_answer_correct": 0.0}) == read(tmp_path, BENCH)
    assert read(tmp_path, TRL | {"outcome": 0}) == read(tmp_path, TRL)
    for label in (1.5, "1", True):
        with pytest.raises(InvalidInput, match="'label'"):
            read(tmp_path, BENCH | {"label": label})
