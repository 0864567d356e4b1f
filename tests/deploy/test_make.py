"""The Makefile and .ci/run: what a newcomer and CI call, without installing anything."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def make(*arguments, **variables):
    unwanted = ("MAKE", "MFLAGS", "STEPSCORE_", "HOST", "PORT", "ARGS")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=False)


def test_help_names_every_target():
    (line,) = re.findall(r"^\.PHONY: (.+?)\n\n", MAKEFILE, re.DOTALL | re.MULTILINE)
    targets = set(line.replace("\\", "").split()) - {"help"}
    assert {"serve", "test", "check", "venv"} <= targets
    named = {row.split()[0] for row in make("help").stdout.splitlines()}
    assert targets <= named


@pytest.mark.parametrize("marker", ["slow", "gpu", "vllm", "weights", "ray"])
def test_each_marker_has_the_target_that_its_description_names(marker):
    assert f"{marker}: " in (ROOT / "pyproject.toml").read_text()
    assert re.search(rf"^test-{marker}:", MAKEFILE, re.MULTILINE)
    assert f"-m {marker} " in MAKEFILE


@pytest.mark.parametrize("python", ["/nonexistent/python3", "/bin/false"])
def test_a_missing_or_old_python_is_told_and_nothing_is_made(tmp_path, python):
    venv = tmp_path / "venv"
    result = make("venv", f"VENV={venv}", f"PYTHON={python}")
    assert result.returncode != 0
    assert f"Stepscore needs Python 3.11 or newer; tried: {python}." in result.stderr
    assert not venv.exists()


def test_an_environment_that_is_made_is_not_made_again(tmp_path):
    """Stamps newer than pyproject.toml: nothing to install."""
    for name in ("bin/python", ".stamp", ".stamp-serve"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert make("--question", "venv", f"VENV={tmp_path}").returncode == 0
    os.utime(tmp_path / ".stamp", (0, 0))
    assert make("--question", "venv", f"VENV={tmp_path}").returncode == 1


def test_address_goes_to_the_server(tmp_path):
    """HOST and PORT win over the settings' own variables, which win over the defaults."""
    stepscore = tmp_path / "bin/stepscore"
    for name in ("bin/python", ".stamp", ".stamp-serve"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    stepscore.write_text('#!/bin/sh\necho "$STEPSCORE_HOST:$STEPSCORE_PORT $*"\n')
    stepscore.chmod(0o755)
    cases = [
        ({}, "127.0.0.1:8000 serve"),
        ({"STEPSCORE_PORT": "8001"}, "127.0.0.1:8001 serve"),
        (
            {"HOST": "::1", "PORT": "9000", "STEPSCORE_PORT": "8001", "ARGS": "--mode fast"},
            "::1:9000 serve --mode fast",
        ),
    ]
    for variables, expected in cases:
        assert make("serve", f"VENV={tmp_path}", **variables).stdout.strip() == expected


def test_ci_runs_the_two_commands_of_the_readme_and_installs_what_they_need():
    script = (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "set -euo pipefail" in script
    commands = [line.partition(" #")[0] for line in script.splitlines() if line.startswith("make ")]
    assert commands == ["make check", "make sbom", "make prepare", "make test", "make test-cpu-probe"]
    assert "REQUIRE_SYSTEM_TOOLS=1" in script
    listed = {line.split()[1] for line in (ROOT / ".ci/packages.txt").read_text().splitlines() if line[:1] != "#"}
    assert listed == {"docker-compose", "promtool", "curl", "coqc", "chromium", "nginx"}
