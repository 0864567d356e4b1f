"""docs/quickstart.md: its commands work on its file, in its order, and print what it shows but for the numbers."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import checkpoints_causal
from cli_case import invoke, read

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "quickstart.md").read_text()
FENCES = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)
BLOCKS = re.findall(r"```console\n\$ stepscore (.+)\n((?:.+\n|\n)*?)```", PAGE)
NUMBERS = re.compile(r"\d[\d,]*(\.\d+)?|[█░]+")


def test_its_commands_work_on_its_file(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (csv,) = [text for language, text in FENCES if language == "csv"]
    (tmp_path / "answers.csv").write_text(csv)
    base = checkpoints_causal.causal(tmp_path / "base", "qwen2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPSCORE_MODELS", f"embedded={folder}")
    monkeypatch.setenv("COLUMNS", "80")
    assert [command.split()[0] for command, _ in BLOCKS] == ["score", "show", "report", "evaluate", "train"]
    for command, shown in BLOCKS:
        given = [str(base) if each == "smollm2" else each for each in shlex.split(command)]
        result = invoke(*given, *(["--steps", "1"] if given[0] == "train" else []))
        assert result.exit_code == 0, result.output
        assert shape(result.output)[-1] == shape(shown)[-1] or command.startswith("show")
        if command.startswith("train"):
            assert shape(result.output) == shape(shown)
    assert [row["is_correct"] for row in read(tmp_path / "answers.scored.jsonl")] == [True, False, True, False]
    assert (tmp_path / "answers.scored.report.html").exists()
    assert (tmp_path / "runs" / "small" / "model.safetensors").exists()


def test_every_block_is_the_file_or_a_command_that_is_run() -> None:
    assert [language for language, _ in FENCES] == ["csv", *["console"] * len(BLOCKS)]


def test_every_command_in_the_text_exists_and_so_does_every_extra() -> None:
    text = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    named = re.findall(r"`stepscore ([a-z ]+)`", text)
    assert named
    for command in named:
        words = command.split()[:2] if command.startswith("data") else command.split()[:1]
        assert invoke(*words, "--help").exit_code == 0, command
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"stepscore\[(\w+)\]", PAGE)) == {"embedded", "evaluate", "train"} <= extras.keys()
    for picture in re.findall(r"!\[.*?\]\((.+?)\)", PAGE):
        assert (ROOT / "docs" / picture).exists()


def shape(output: str) -> list[str]:
    """The lines without their numbers, of which a tiny checkpoint has others."""
    return [NUMBERS.sub("0", line).strip() for line in output.splitlines() if line.strip()]
