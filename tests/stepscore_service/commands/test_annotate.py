"""`stepscore annotate`: select, export and import as people use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli_case import PROBLEM, STEPS, invoke, read, solutions, write


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


def test_from_solutions_to_people_and_back(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", solutions(5))
    asked, people, labels = (tmp_path / name for name in ("asked.jsonl", "people.jsonl", "labels.jsonl"))
    result = invoke("annotate", "select", source, "--out", asked, "--budget", "3", "--one-per-solution", *fake)
    assert result.exit_code == 0, result.stderr
    chosen = read(asked)
    assert [len(row["ask"]) for row in chosen] == [1, 1, 1]
    assert all(row["labels"] == [None] * 4 and row["id"].startswith("n") for row in chosen)

    assert invoke("annotate", "export", asked, "--out", people).exit_code == 0
    rows = read(people)
    for row in rows:
        step = row["stepscore"]["ask"][0]
        row["label"]["steps"][step]["completions"][0]["rating"] = 0
    write(people, rows)
    result = invoke("annotate", "import", people, "--out", labels, "--neutral", "bad")
    assert result.exit_code == 0, result.stderr
    assert "3 rows read, 3 solutions written; labels: 0 right, 3 wrong, 0 soft, 9 none" in result.stderr
    for row, before in zip(read(labels), chosen, strict=True):
        assert row["completions"] == before["completions"]
        assert [step for step, label in enumerate(row["labels"]) if label is False] == [before["ask"][0]["step"]]


def test_another_budget_costs_no_scoring_and_gives_the_same_order(tmp_path: Path, fake: list[str]) -> None:
    source = write(tmp_path / "in.jsonl", solutions(4))
    out = tmp_path / "asked.jsonl"
    invoke("annotate", "select", source, "--out", out, "--budget", "2", *fake)
    few = {(row["id"], each["step"]) for row in read(out) for each in row["ask"]}
    result = invoke("annotate", "select", source, "--out", out, "--budget", "16", *fake)
    assert "4 rows are done" in result.stderr
    many = {(row["id"], each["step"]) for row in read(out) for each in row["ask"]}
    assert (len(few), len(many)) == (2, 16)
    assert few < many


def test_a_service_chooses_as_its_model_does_here(tmp_path: Path, fake: list[str], url: str) -> None:
    source = write(tmp_path / "in.jsonl", solutions(3))
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    invoke("annotate", "select", source, "--out", here, "--budget", "4", *fake)
    result = invoke("annotate", "select", source, "--out", there, "--budget", "4", "--url", f"{url}#fake")
    assert result.exit_code == 0, result.stderr
    assert [[each["step"] for each in row["ask"]] for row in read(there)] == [
        [each["step"] for each in row["ask"]] for row in read(here)
    ]


def test_rows_of_label_are_chosen_from_with_their_labels(tmp_path: Path, fake: list[str]) -> None:
    row = {"prompt": PROBLEM, "completions": STEPS, "labels": [True, None, 0.5], "outcome": True}
    source, out = write(tmp_path / "in.jsonl", [row]), tmp_path / "asked.jsonl"
    assert invoke("annotate", "select", source, "--out", out, "--budget", "1", *fake).exit_code == 0
    (chosen,) = read(out)
    assert (chosen["labels"], chosen["outcome"]) == ([True, None, 0.5], True)


def test_a_row_that_cannot_be_scored_is_left_out_and_said(tmp_path: Path, fake: list[str]) -> None:
    rows: list[Any] = [*solutions(2), {"problem": PROBLEM, "steps": []}]
    source, out = write(tmp_path / "in.jsonl", rows), tmp_path / "asked.jsonl"
    result = invoke("annotate", "select", source, "--out", out, *fake)
    assert result.exit_code == 1
    assert len(read(out)) == 2
    assert "could not be scored" in result.stderr


@pytest.mark.parametrize("command", ["export", "import"])
@pytest.mark.parametrize("line", ["{", '{"prompt": "p"}'])
def test_a_row_that_cannot_be_read_ends_it_with_nothing_written(tmp_path: Path, command: str, line: str) -> None:
    good: dict[str, Any] = {"prompt": "p", "completions": ["a"], "labels": [None]}
    if command == "import":
        good = {"question": {"problem": "p"}, "label": {"steps": []}}
    source = write(tmp_path / "in.jsonl", [good, line])
    out = write(tmp_path / "out.jsonl", ["before"])
    options = ["--neutral", "good"] if command == "import" else []
    result = invoke("annotate", command, source, "--out", out, *options)
    assert result.exit_code == 2
    assert "line 2" in result.stderr
    assert out.read_text() == "before\n"
    assert not (tmp_path / "out.jsonl.part").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["select", "-", "--out", "x"], "not standard input"),
        (["export", "missing.jsonl", "--out", "x"], "cannot read"),
        (["import", "missing.jsonl", "--out", "x", "--neutral", "maybe"], "maybe"),
    ],
)
def test_wrong_arguments_are_answered(arguments: list[str], says: str) -> None:
    result = invoke("annotate", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_absent_folder_is_said_before_any_work_is_lost(tmp_path: Path) -> None:
    row = {"prompt": "p", "completions": ["a"], "labels": [True]}
    source = write(tmp_path / "in.jsonl", [json.dumps(row)])
    result = invoke("annotate", "export", source, "--out", tmp_path / "absent" / "out.jsonl")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr


@pytest.mark.parametrize(("label", "says"), [(0.25, "Left out: 1 soft labels of 1 rows"), (True, "")])
def test_an_export_says_what_ratings_cannot_hold(tmp_path: Path, label: float, says: str) -> None:
    source = write(tmp_path / "in.jsonl", [{"prompt": "p", "completions": ["a"], "labels": [label]}])
    result = invoke("annotate", "export", source, "--out", tmp_path / "people.jsonl")
    assert result.exit_code == 0
    assert says in result.stderr
    assert ("Left out" in result.stderr) == bool(says)
