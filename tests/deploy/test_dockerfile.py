"""The Dockerfile. No engine builds it here: a linter, and what it must agree on with the code and the Makefile."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from stepscore.embedded.prepare import GGUF
from stepscore_service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
STAGE = re.compile(r"^FROM (\S+) AS (\S+)\n(.+?)(?=^FROM|\Z)", re.MULTILINE | re.DOTALL)


def test_hadolint_finds_nothing(tool):
    result = tool("hadolint", "Dockerfile")
    assert result.returncode == 0, result.stdout + result.stderr


def test_environment_variables_are_settings_with_valid_values():
    given = dict(re.findall(r"\bSTEPSCORE_([A-Z_]+)=(\S+)", DOCKERFILE))
    assert {"HOST", "PORT"} <= set(given)
    assert {name.lower() for name in given} <= set(Settings.model_fields)
    Settings(**{name.lower(): value for name, value in given.items()})


def test_exposed_port_is_the_port_served():
    (exposed,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    (served,) = re.findall(r"STEPSCORE_PORT=(\d+)", DOCKERFILE)
    assert exposed == served == str(Settings.model_fields["port"].default)


def test_torch_is_one_range_everywhere():
    (wanted,) = [item for item in EXTRAS["serve"] if Requirement(item).name == "torch"]
    assert f"'{wanted}'" in DOCKERFILE
    assert f"TORCH := {wanted}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_image_holds_the_prepared_checkpoint_and_not_what_it_was_made_from(target):
    (stage,) = re.findall(rf"^FROM \S+ AS {target}\n(.+?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    prepared = f"RUN python -m stepscore.embedded.prepare && rm -r /var/cache/stepscore/{GGUF}"
    assert prepared in stage.splitlines()


@pytest.mark.parametrize(
    ("stage", "extras", "included"),
    [
        ("cpu", ["serve", "embedded"], []),
        ("cuda", ["serve", "embedded"], []),
        ("vllm", ["serve", "vllm"], []),
        ("jobs", ["train", "ray", "tables"], ["evaluate", "hub", "serve"]),
    ],
)
def test_requirements_that_an_image_installs_are_those_of_the_project(tmp_path, stage, extras, included):
    """The script of the `dependencies` stage, beside a copy of pyproject.toml as there."""
    for file in ("deploy/requirements.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    (block,) = re.findall(rf"^FROM \S+ AS {stage}-environment\n(.+?)(?=^FROM)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    (named,) = re.findall(r"requirements\.py (.+?) >", block)
    assert named.split() == extras
    command = [sys.executable, tmp_path / "requirements.py", *extras]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wanted = {*PROJECT["dependencies"], *(each for extra in (*extras, *included) for each in EXTRAS[extra])}
    assert set(printed.splitlines()) == {each for each in wanted if not each.startswith("stepscore[")}


def test_modules_that_the_build_runs_exist():
    modules = set(re.findall(r"python -m ([\w.]+)", DOCKERFILE)) - {"venv"}
    assert modules
    for module in modules:
        assert importlib.util.find_spec(module), module


def test_build_context_holds_what_is_copied():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {path for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()}
    assert ignored[1] == "*"
    assert {f"!{path}" for path in copied} <= set(ignored)
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("target", ["cpu", "cuda", "vllm", "jobs"])
def test_each_target_runs_as_a_user_without_rights(target):
    stages = {name: (base, text) for base, name, text in STAGE.findall(DOCKERFILE)}
    base, text = stages[target]
    while base in stages:
        text = stages[base][1] + text
        base = stages[base][0]
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] == "10001:10001"


def test_the_default_target_is_for_cpus():
    assert STAGE.findall(DOCKERFILE)[-1][1] == "cpu"


def test_the_server_is_process_one_and_gets_its_signals():
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    (command,) = re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entry) + json.loads(command) == ["stepscore", "serve"]
    assert PROJECT["scripts"]["stepscore"]


def test_health_check_answers_by_the_server_alone(free_answer):
    """The command of HEALTHCHECK, run against a server that is ready and then not."""
    (line,) = re.findall(r"^HEALTHCHECK .+?CMD (\[.+?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    _, *arguments = json.loads(line)
    for status, healthy in ((200, True), (503, False)):
        with free_answer("/health/ready", status) as port:
            environment = {"STEPSCORE_PORT": str(port)}
            result = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
        assert (result.returncode == 0) is healthy
