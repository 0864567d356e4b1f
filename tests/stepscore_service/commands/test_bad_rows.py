"""A row that no one can read is an error of its own in every command, and ends none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli_case import invoke, read, write

HALF = "\ud83d"
"""Half of a surrogate pair: JSON can hold it, UTF-8 cannot."""
GOOD: dict[str, Any] = {"id": "good", "problem": "2+3?", "steps": ["2+3 = 5."]}


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


def with_number(row: dict[str, Any]) -> str:
    """The row with a number that no float can hold."""
    return json.dumps(row | {"logp": 0}).replace('"logp": 0', '"logp": -1e999')


@pytest.mark.parametrize("place", ["problem", "steps", "solution", "id"])
def test_score_escapes_or_refuses_half_a_surrogate_pair(tmp_path: Path, fake: list[str], place: str) -> None:
    odd: dict[str, Any] = {"id": "odd", "problem": "p", "steps": ["a"]}
    odd |= {place: [HALF] if place == "steps" else HALF}
    if place == "solution":
        del odd["steps"]
    source = write(tmp_path / "in.jsonl", [GOOD, odd, GOOD])
    result = invoke("score", source, *fake)
    rows = read(tmp_path / "in.scored.jsonl")
    assert ["error" in row for row in rows] == [False, place != "id", False]
    assert (result.exit_code, rows[1][place]) == (0 if place == "id" else 1, odd[place])
    if place != "id":
        assert f"'{place}'" in rows[1]["error"]["message"]


def test_numbers_that_no_float_holds_are_row_errors(tmp_path: Path, fake: list[str]) -> None:
    candidates = {"problem": "p", "candidates": ["a", "b"]}
    for command, good in (("score", GOOD), ("rerank", candidates)):
        source = write(tmp_path / f"{command}.jsonl", [good, with_number(good), good])
        out = tmp_path / f"{command}.out.jsonl"
        assert invoke(command, source, "--out", out, *fake).exit_code == 1
        rows = read(out)
        assert ["error" in row for row in rows] == [False, True, False]
        assert rows[1]["error"]["detail"]["field"] == "logp"
        assert rows[1]["logp"] == "-1e999"


@pytest.mark.parametrize("candidate", [HALF, [HALF], 3, [3], None])
def test_rerank_keeps_a_row_with_a_wrong_candidate_as_an_error(tmp_path: Path, fake: list[str], candidate: Any) -> None:
    rows = [{"problem": "p", "candidates": ["a", "b"]}, {"problem": "p", "candidates": ["a", candidate]}]
    assert invoke("rerank", write(tmp_path / "in.jsonl", rows), *fake).exit_code == 1
    _, second = read(tmp_path / "in.reranked.jsonl")
    assert second["error"]["detail"]["field"] == "candidates"
    assert "entry 1" in second["error"]["message"]


def test_evaluate_and_annotate_go_on_after_such_rows(tmp_path: Path, fake: list[str]) -> None:
    good = {"prompt": "p", "completions": ["a"], "labels": [True]}
    rows = [good, good | {"prompt": HALF}, good | {"completions": [HALF]}, with_number(good), good | {"id": HALF}]
    source = write(tmp_path / "in.jsonl", rows)
    result = invoke("evaluate", "--steps", source, "--out", tmp_path / "report", "--no-probes", *fake)
    assert (result.exit_code, "3 rows cannot be used" in result.output) == (1, True), result.output
    result = invoke("annotate", "select", source, "--out", tmp_path / "chosen.jsonl", *fake)
    assert (result.exit_code, "3 of the rows" in result.output) == (1, True), result.output
    assert {row["prompt"] for row in read(tmp_path / "chosen.jsonl")} == {"p"}


@pytest.mark.parametrize("place", ["problem", "steps", "answer", "id", "note"])
def test_label_names_half_a_surrogate_pair_in_a_text_and_escapes_it_elsewhere(tmp_path: Path, place: str) -> None:
    good: dict[str, Any] = {"problem": "3 + 4?", "answer": "7", "steps": ["3 + 4 = 7"]}
    odd = good | {place: [HALF] if place == "steps" else HALF}
    source = write(tmp_path / "in.jsonl", [good, odd, good])
    result = invoke("label", source, "--out", tmp_path / "out", "--method", "check:arithmetic")
    if place in ("id", "note"):
        assert result.exit_code == 0, result.output
        rows = read(tmp_path / "out" / "labels-00000.jsonl")
        assert [row["id"] for row in rows] == ["1", HALF if place == "id" else "2", "3"]
    else:
        assert result.exit_code == 2
        assert f'line 2: "{place}" holds half of a surrogate pair' in result.output
        assert not (tmp_path / "out").exists()
