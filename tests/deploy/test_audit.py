"""`make audit` fails for a known weakness, and for packages that nobody looked up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/audit.py"
SOUND = {"name": "jinja2", "version": "3.1.6", "vulns": []}
WEAK = {"name": "jinja2", "version": "3.1.2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1.3"], "aliases": []}]}
LOCAL = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0+cpu)"}
UNKNOWN = {"name": "jinja2", "skip_reason": "Dependency not found on PyPI and could not be audited: jinja2 (3.1.6)"}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([SOUND, LOCAL], 0, "2 packages, 0 known weaknesses, 0 not audited"),
        ([SOUND, WEAK], 1, "jinja2 3.1.2: PYSEC-1, mended in 3.1.3"),
        ([SOUND, UNKNOWN, LOCAL], 1, "the advisory server does not know them: jinja2\n"),
        ([UNKNOWN, LOCAL], 1, "\nNOT AUDITED: the advisory server knows none of the packages\n"),
        ([], 1, "\nNOT AUDITED: the advisory server knows none of the packages\n"),
    ],
)
def test_what_is_weak_or_was_not_looked_up_fails(
    tmp_path: Path, packages: list[dict[str, Any]], status: int, said: str
) -> None:
    found = tmp_path / "audit.json"
    found.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    done = subprocess.run([sys.executable, SCRIPT, found], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, "")
    assert said in done.stdout


@pytest.mark.parametrize("content", [None, ""])
def test_a_server_that_does_not_answer_is_no_audit(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "audit.json").write_text(content)
    command = [sys.executable, SCRIPT, tmp_path / "audit.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "NOT AUDITED: the advisory server gave no answer\n"
