"""Results that somebody edited are noticed and named before a run continues them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli_case import invoke, read, solutions, write


@pytest.fixture
def fake(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--engine", "fake"]


EDITS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a blank line": (lambda rows: [*rows[:2], b"\n", *rows[2:]], "line 3 is blank"),
    "a blank line at the end": (lambda rows: [*rows, b"\n"], "line 7 is blank"),
    "a missing line": (
        lambda rows: [*rows[:1], *rows[2:]],
        "line 2 is the result of line 3 of the input",
    ),
    "the first line missing": (lambda rows: rows[1:], "line 1 is the result of line 2 of the input"),
    "a line twice": (lambda rows: [*rows[:2], *rows[1:]], "line 3 is the result of line 2 of the input"),
    "two lines in another order": (lambda rows: [rows[1], rows[0], *rows[2:]], "line 1 is the result of line 2"),
    "another reward": (
        lambda rows: [rows[0].replace(b"0.", b"0.9", 1), *rows[1:]],
        "its first 6 rows",
    ),
    "another id": (lambda rows: [*rows[:5], rows[5].replace(b"n5", b"n6")], "its first 6 rows"),
    "text instead of a row": (lambda rows: [*rows[:3], b"oops\n", *rows[4:]], "line 4 is not a JSON object"),
    "a list instead of a row": (lambda rows: [*rows[:3], b"[1]\n", *rows[4:]], "line 4 is not a JSON object"),
    "CRLF": (lambda rows: [row.replace(b"\n", b"\r\n") for row in rows], "its first 6 rows"),
    "not UTF-8": (lambda rows: [*rows[:3], b'{"a": "\xff"}\n', *rows[4:]], "line 4 is not a JSON object"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_file_is_not_continued(tmp_path: Path, fake: list[str], edit: str) -> None:
    source, out = write(tmp_path / "in.jsonl", solutions(6)), tmp_path / "out.jsonl"
    assert invoke("score", source, "--out", out, *fake).exit_code == 0
    change, says = EDITS[edit]
    edited = b"".join(change(out.read_bytes().splitlines(keepends=True)))
    out.write_bytes(edited)
    result = invoke("score", source, "--out", out, *fake)
    assert result.exit_code == 2
    assert f"out.jsonl was edited: {says}" in result.output.replace("\n", " ")
    assert out.read_bytes() == edited


def test_last_rows_that_are_gone_are_computed_again(tmp_path: Path, fake: list[str]) -> None:
    source, out = write(tmp_path / "in.jsonl", solutions(6)), tmp_path / "out.jsonl"
    assert invoke("score", source, "--out", out, *fake).exit_code == 0
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    result = invoke("score", source, "--out", out, *fake)
    assert (result.exit_code, "the last 2 rows" in result.output) == (0, True)
    assert out.read_bytes() == whole


def test_a_damaged_record_is_named(tmp_path: Path, fake: list[str]) -> None:
    source, out = write(tmp_path / "in.jsonl", solutions(2)), tmp_path / "out.jsonl"
    assert invoke("score", source, "--out", out, *fake).exit_code == 0
    (tmp_path / "out.jsonl.run.json").write_text("{")
    result = invoke("score", source, "--out", out, *fake)
    assert (result.exit_code, "out.jsonl.run.json is damaged" in result.output) == (2, True)


def test_the_record_says_what_was_written(tmp_path: Path, fake: list[str]) -> None:
    source, out = write(tmp_path / "in.jsonl", solutions(3)), tmp_path / "out.jsonl"
    assert invoke("score", source, "--out", out, *fake).exit_code == 0
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text())
    assert record["written"]["rows"] == 3 == len(read(out))
