"""What the README tells people to type works: its curl and Python blocks run against a live server.

Conventions: a `make` line needs an existing target, a `docker` or `kubectl` line existing files; a `curl` line is run;
a `stepscore` line is run, but for `serve`, whose flags must exist; any other line must be a known program's. A `json`
block right after a curl is its answer: keys and kinds always, numbers to 1e-3 where the embedded checkpoint is served.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import checkpoints
import embedded_case
from readme_blocks import (
    ADDRESS,
    ONLY_CHECKED,
    ROOT,
    Block,
    blocks,
    check_files,
    check_stepscore,
    differences,
    make_targets,
    whole_commands,
)
from service_case import live, torch_scorer
from stepscore_service.settings import Settings

README = (ROOT / "README.md").read_text()
BLOCKS = list(blocks(README))
SHELL = [block for block in BLOCKS if block.language in ("bash", "sh", "console")]
PYTHON = [block for block in BLOCKS if block.language == "python"]
EXACT = not embedded_case.missing()


def place(block: Block) -> str:
    return f"README.md:{block.line}"


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded checkpoint if its base is in the cache, else a tiny one under its name: answers keep their shape."""
    if EXACT:
        yield str(request.getfixturevalue("embedded_url")).removeprefix("http://")
        return
    folder = checkpoints.qwen_math(tmp_path_factory.mktemp("readme") / "tiny")
    with live({"embedded": torch_scorer(folder, "embedded")}) as url:
        yield url.removeprefix("http://")


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, so that blocks that write files leave nothing behind."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_shows_how_to_start() -> None:
    said = [command for block in SHELL for command in block.commands]
    assert any(command.startswith("make serve") for command in said)
    assert any(command.startswith("make test") for command in said)


@pytest.mark.parametrize("block", SHELL, ids=place)
def test_shell_blocks(block: Block, address: str, example: Path) -> None:
    for command in whole_commands(block):
        words = [word for word in shlex.split(command, comments=True) if "=" not in word or not word[0].isupper()]
        if words[0] == "make":
            assert set(words[1:]) <= make_targets(), command
        elif words[0] == "curl":
            check_curl(command, block.answer, address, EXACT)
        elif words[0].endswith("stepscore"):
            check_stepscore(words[1:])
        else:
            assert words[0].rpartition("/")[2] in ONLY_CHECKED, f"{command}: nothing checks this"
            check_files(words)


@pytest.mark.cpu_probe
@pytest.mark.parametrize("block", PYTHON, ids=place)
def test_python_blocks(block: Block, address: str, example: Path) -> None:
    source = block.text.replace(ADDRESS, address).replace(f"localhost:{ADDRESS[-4:]}", address)
    if not EXACT and '"embedded"' in source:
        pytest.skip("opens the embedded checkpoint, whose base model is not installed")
    exec(compile(source, place(block), "exec"), {"__name__": "readme"})


def check_curl(command: str, answer: str | None, address: str, exact: bool) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shown = command.replace(ADDRESS, address).replace(f"localhost:{ADDRESS[-4:]}", address)
    ran = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, f"{command}\n{ran.stderr}"
    assert '"code":' not in ran.stdout[:20], f"{command}\n{ran.stdout}"
    if answer is not None:
        wrong = list(differences(parse(answer), parse(ran.stdout), exact))
        assert not wrong, "\n".join([command, *wrong, ran.stdout])


def parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pytest.fail(f"this is not JSON:\n{text}")


def test_the_python_that_runs_the_blocks_is_the_projects() -> None:
    assert sys.version_info >= (3, 11)


def test_the_table_of_settings_is_whole() -> None:
    for name, field in Settings.model_fields.items():
        assert f"| `--{name.replace('_', '-')}` | `STEPSCORE_{name.upper()}` |" in README
        assert str(field.description) in README
