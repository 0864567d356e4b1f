"""docs/quickstart.md: its commands work on its file, in its order, and print what it shows but for the numbers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cli_case import invoke, read

PAGE = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text()
BLOCKS = re.findall(r"```console\n\$ stepscore (.+)\n((?:.+\n|\n)*?)```", PAGE)
NUMBERS = re.compile(r"\d+(\.\d+)?|[█░]+")


def test_its_commands_work_on_its_file(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    assert found
    (tmp_path / "answers.csv").write_text(found[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPSCORE_MODELS", f"embedded={folder}")
    monkeypatch.setenv("COLUMNS", "80")
    assert [command.split()[0] for command, _ in BLOCKS] == ["score", "show", "report", "evaluate"]
    for command, shown in BLOCKS:
        result = invoke(*shlex.split(command))
        assert result.exit_code == 0, result.output
        assert shape(result.output)[-1] == shape(shown)[-1] or command.startswith("show")
    assert [row["is_correct"] for row in read(tmp_path / "answers.scored.jsonl")] == [True, False, True, False]
    assert (tmp_path / "answers.scored.report.html").exists()


def shape(output: str) -> list[str]:
    """The lines without their numbers, of which a tiny checkpoint has others."""
    return [NUMBERS.sub("0", line).strip() for line in output.splitlines() if line.strip()]
