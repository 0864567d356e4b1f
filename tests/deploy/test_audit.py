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
        ([UNKNOWN, LOCAL], 1, "the advisory server does not know them: jinja2\n"),
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
