"""Where results cannot go, and what says so before a model is opened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli_case import ROOT, invoke, solutions, write

CANDIDATES: list[dict[str, Any]] = [{"problem": f"{n}?", "candidates": ["a", "b"]} for n in range(3)]
NO_MODEL = ("--model", "/no/such/model")
"""Opening it would be another error."""


def rows_of(command: str) -> list[dict[str, Any]]:
    return solutions(3) if command == "score" else CANDIDATES


@pytest.mark.parametrize("command", ["score", "rerank"])
@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("/dev/full", "is a device or a pipe, not a file"),
        ("/dev/zero", "is a device or a pipe, not a file"),
        ("pipe", "is a device or a pipe, not a file"),
        ("folder", "is a folder, not a file"),
        ("missing/x.jsonl", "there is no folder"),
        ("folder/in.jsonl/x.jsonl", "there is no folder"),
    ],
)
def test_a_place_that_is_no_file_is_refused_before_a_model_is_opened(
    tmp_path: Path, command: str, out: str, said: str
) -> None:
    """Reading what /dev/full or /dev/zero holds already would never end."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    source = write(tmp_path / "in.jsonl", rows_of(command))
    result = invoke(command, source, "--out", tmp_path / out, *NO_MODEL)
    assert (result.exit_code, said in result.output) == (2, True), result.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_before_a_model_is_opened(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", solutions(1))
    tmp_path.chmod(0o555)
    result = invoke("score", source, *NO_MODEL)
    tmp_path.chmod(0o755)
    assert (result.exit_code, "read-only for you" in result.output) == (2, True), result.output


@pytest.mark.parametrize("command", ["score", "rerank"])
@pytest.mark.parametrize("change", ["input", "split", "slim", "columns"])
def test_results_of_another_run_are_refused_before_a_model_is_opened(
    tmp_path: Path, folder: Path, command: str, change: str
) -> None:
    source = write(tmp_path / "in.jsonl", rows_of(command))
    assert invoke(command, source, "--model", f"tiny={folder}", "--engine", "fake").exit_code == 0
    if change == "input":
        write(source, rows_of(command)[:2])
    flags = {"split": ["--split", "lines"], "slim": ["--slim"], "columns": ["--columns", "problem=problem"]}
    result = invoke(command, source, *flags.get(change, []), *NO_MODEL)
    assert result.exit_code == 2
    assert "holds rows of another run" in result.output, result.output
    assert change != "input" or "the input is another file, or has changed (SHA-256 " in result.output


def test_one_row_is_one_row(tmp_path: Path, folder: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"problem": "2+3?", "steps": ["5"]}])
    first = invoke("score", source, "--model", f"tiny={folder}", "--engine", "fake").output
    again = invoke("score", source, "--model", f"tiny={folder}", "--engine", "fake").output
    assert "1 row, 1 step; mean score" in first
    assert "the only row is done." in again


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize(
    ("device", "status", "said"), [("/dev/full", 2, "cannot write standard output: No space left"), ("closed", 1, "")]
)
def test_standard_output_that_takes_nothing_ends_in_a_sentence(
    tmp_path: Path, folder: Path, log_format: str, device: str, status: int, said: str
) -> None:
    """A full disk behind `>`, or a reader such as `head` that has left."""
    source = write(tmp_path / "in.jsonl", solutions(3))
    flags = ["--out", "-", "--model", str(folder), "--dtype", "float32", "--log-format", log_format]
    command = [sys.executable, "-m", "stepscore_service.commands.main", "score", str(source), *flags]
    path = os.pathsep.join([str(ROOT / "models"), str(ROOT / "service"), os.environ.get("PYTHONPATH", "")])
    if device == "closed":
        read_end, out = os.pipe()
        os.close(read_end)
    else:
        out = os.open(device, os.O_WRONLY)
    found = subprocess.run(
        command, stdout=out, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}, check=False, timeout=200
    )
    os.close(out)
    stderr = found.stderr.decode()
    assert (found.returncode, said in stderr, "Traceback" in stderr) == (status, True, False), stderr
