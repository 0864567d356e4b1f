"""`--columns` in every command that reads rows: a file under its own names gives what the renamed file gives."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cli_case import PROBLEM, STEPS, invoke, read, write
from stepscore_service.jobs.data.formats.registry import FORMATS
from stepscore_service.jobs.data.rows import RowModel
from stepscore_service.jobs.runs.tables import COLUMNS
from stepscore_service.jobs.score.rows import OUTCOMES
from stepscore_service.jobs.train.inputs import TrainInputs, open_inputs

ROW = {"id": "x", "prompt": PROBLEM, "completions": STEPS, "labels": [True, False, True]}
TASK = {"problem": "3 + 4?", "answer": "7", "steps": ["3 + 4 = 7", "The answer is 7."]}
JUDGED = {"solution": "#### 4", "answer": "4", "correct": True}


def rename_columns(row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The row under other names, and the flag that says so."""
    theirs = {f"their {name}": value for name, value in row.items()}
    return theirs, ["--columns", ",".join(f"{name}=their {name}" for name in row)]


def both(tmp_path: Path, row: dict[str, Any]) -> list[tuple[Path, list[str]]]:
    """Two files of one name, each with its flag: under our names without one, and under others."""
    found = []
    for folder, (each, columns) in (("ours", (row, [])), ("theirs", rename_columns(row))):
        (tmp_path / folder).mkdir()
        found.append((write(tmp_path / folder / "in.jsonl", [each, each]), columns))
    return found


def test_evaluate(tmp_path: Path, folder: Path) -> None:
    model, suites = ["--model", f"tiny={folder}", "--engine", "fake"], []
    for source, columns in both(tmp_path, ROW):
        out = source.parent / "report"
        command = ["evaluate", "--steps", source, "--out", out, *columns, *model]
        assert invoke(*command).exit_code == 0
        assert "without opening a model" in invoke(*command).output
        suites.append(json.loads((out / "metrics.json").read_text())["suites"])
    assert suites[0] == suites[1]


def test_verify_check(tmp_path: Path) -> None:
    rows = []
    for source, columns in both(tmp_path, JUDGED):
        assert invoke("verify-check", source, "--verifier", "math", *columns).exit_code == 0
        rows.append(read(source.parent / "in.verified.jsonl"))
    assert rows[0] == rows[1]


def test_label(tmp_path: Path) -> None:
    rows = []
    for source, columns in both(tmp_path, TASK):
        out = source.parent / "out"
        done = invoke("label", source, "--out", out, "--method", "check:arithmetic", *columns)
        assert done.exit_code == 0, done.output
        rows.append(read(out / "labels-00000.jsonl"))
    assert rows[0] == rows[1]


def test_train(tmp_path: Path) -> None:
    ours, theirs = (
        list(TrainInputs(open_inputs([source], columns[1] if columns else "")).solutions())
        for source, columns in both(tmp_path, ROW)
    )
    assert ours == theirs
    source = tmp_path / "theirs" / "in.jsonl"
    done = invoke("train", source, "--columns", "prompt=nothing", "--base", tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("problem=a,problem=b", "names problem twice"),
        ("problem=a,steps=a", "names a twice"),
        ("promblem=question", "no command reads a column 'promblem'; do you mean problem?"),
        ("zzz=question", "no command reads a column 'zzz'; do you mean "),
    ],
)
def test_names_that_mean_nothing_are_refused(tmp_path: Path, columns: str, said: str) -> None:
    source = write(tmp_path / "in.jsonl", [{"question": "q", "a": "b"}])
    for command in (["score"], ["verify-check", "--verifier", "math"], ["evaluate", "--out", tmp_path, "--steps"]):
        result = invoke(*command, source, "--columns", columns)
        assert (result.exit_code, said in result.output) == (2, True), result.output


def test_every_column_that_a_command_reads_can_be_named() -> None:
    suites = ("evaluate.suites.processbench", "evaluate.suites.prmbench")
    for module in (*suites, "data.labelled", "score.report.solutions"):
        import_module(f"stepscore_service.jobs.{module}")
    entries = {"RankedEntry", "AnswerEntry", "RankedColumns", "Prm800kCompletion", "HumanCompletion", "RatedStep"}
    entries |= {"RatedSteps", "Question", "ScoredColumns", "ScoredRow", "RerankedRow"}
    rows = [each for each in RowModel.__subclasses__() if each.__name__ not in entries]
    names = {name for row in rows for field in row.model_fields for name in aliases(row, field)}
    names |= {name for each in FORMATS.values() for name in each.columns} | set(OUTCOMES)
    assert names <= COLUMNS


def aliases(row: type[RowModel], field: str) -> list[str]:
    found: Any = row.model_fields[field].validation_alias
    return [field] if found is None else [str(name) for name in found.choices]
