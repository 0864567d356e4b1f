"""What `make dist` builds: the files in it, and that the wheel serves from an environment of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time
import tomllib
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from checkpoints import qwen_math
from stepscore_service.client import StepscoreClient

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NEEDED = {
    "stepscore/py.typed",
    "stepscore/embedded/adapter.safetensors",
    "stepscore/embedded/head.json",
    "stepscore/embedded/head.safetensors",
    "stepscore/embedded/recipe.json",
    "stepscore_service/py.typed",
    "stepscore_service/http/page/index.html",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `make dist` builds. Needs a package index."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True)
    return folder


def test_it_builds_a_wheel_and_an_sdist_of_this_version(dist: Path) -> None:
    assert {file.name for file in dist.iterdir()} == {
        f"stepscore-{VERSION}-py3-none-any.whl",
        f"stepscore-{VERSION}.tar.gz",
    }


def test_the_wheel_holds_the_two_packages_and_nothing_else(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert names >= NEEDED
    assert {name.partition("/")[0] for name in names} == {
        "stepscore",
        "stepscore_service",
        f"stepscore-{VERSION}.dist-info",
    }
    sources = {
        str(file.relative_to(ROOT / top)) for top in ("models", "service") for file in (ROOT / top).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == sources


def test_the_sdist_holds_what_a_build_needs_and_nothing_of_this_machine(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "models/stepscore/py.typed"} <= names
    assert {name.partition("/")[0] for name in names if "/" in name} == {"models", "service", "docs"}


def test_the_wheel_with_the_extra_serve_serves_and_scores_in_an_environment_of_its_own(
    dist: Path, tmp_path: Path
) -> None:
    """`pip install WHEEL[serve]` into an empty environment; of this one, only a tiny checkpoint is used."""
    venv.create(tmp_path / "venv", with_pip=True)
    python, wheel = tmp_path / "venv/bin/python", next(dist.glob("*.whl"))
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("STEPSCORE")}
    install = [python, "-m", "pip", "install", "--quiet", f"{wheel}[serve]"]
    subprocess.run(list(map(str, install)), env=clean, check=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [tmp_path / "venv/bin/stepscore", "serve", "--model", f"tiny={qwen_math(tmp_path / 'tiny')}"]
    options = ["--port", port, "--dtype", "float32", "--device", "cpu", "--log-format", "json"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            list(map(str, [*command, *options])), env=clean, stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        wait_until_ready(port, process, tmp_path / "log")
        with StepscoreClient(f"http://127.0.0.1:{port}") as client:
            assert len(client.score("1+1?", ["1+1 = 2", "The answer is 2."]).rewards) == 2
        assert re.search("<title>.*Stepscore", httpx.get(f"http://127.0.0.1:{port}/").text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
    lines = (tmp_path / "log").read_text().splitlines()
    assert "serving" in [json.loads(line)["event"] for line in lines]


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            """Not listening yet."""
        time.sleep(0.2)
    raise AssertionError(log.read_text())
