"""The base installation: what a trainer's environment gets, and what the commands say without an extra."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from service_case import PROBLEM, STEPS
from stepscore_service.commands.main import extra_of

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    f'{item}; extra == "{name}"' for name, items in PROJECT["optional-dependencies"].items() for item in items
]
LIGHT = ("client", "schemas", "integrations")
CLOSURE = {"httpx", "httpcore", "h11", "certifi", "idna", "sniffio", "anyio", "pydantic", "pydantic_core"}
CLOSURE |= {"annotated_types", "typing_extensions", "typing_inspection", "stepscore", "stepscore_service"}
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {names!r}:
    package = importlib.import_module(f"stepscore_service.{{name}}")
    for each in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{{package.__name__}}."):
        importlib.import_module(each.name)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)))
"""


def run(python: str | Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-c", code]
    kept = {key: value for key, value in os.environ.items() if key not in environment}
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False)


def test_the_light_part_imports_no_server_and_no_library() -> None:
    result = run(sys.executable, IMPORT_ALL.format(names=LIGHT))
    assert result.returncode == 0, result.stderr
    heavy = {"torch", "numpy", "fastapi", "starlette", "transformers", "typer", "structlog", "pydantic_settings"}
    loaded = set(result.stdout.split())
    assert {"httpx", "pydantic", "stepscore_service"} <= loaded
    assert not loaded & heavy


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("typer", "serve"),
        ("fastapi.routing", "serve"),
        ("math_verify", "serve"),
        ("peft.tuners", "train"),
        ("opentelemetry.sdk", "telemetry"),
        ("matplotlib", "evaluate"),
        ("ray", "ray"),
        ("vllm", "vllm"),
        ("gguf", "embedded"),
        ("nothing_of_ours", None),
    ],
)
def test_a_module_is_traced_to_the_extra_that_brings_it(module: str, extra: str | None) -> None:
    assert extra_of(module, REQUIREMENTS) == extra


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    """A folder for `sys.path` whose metadata are those of this pyproject.toml, whatever was installed earlier."""
    info = tmp_path / "stepscore-0.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.4", "Name: stepscore", "Version: 0", *(f"Requires-Dist: {r}" for r in REQUIREMENTS)]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("gone", "extra", "arguments"),
    [
        ("typer", "serve", ["--help"]),
        ("fastapi", "serve", ["serve", "--port", "0"]),
        ("ray", "ray", ["serve", "--port", "0", "--ray"]),
    ],
)
def test_a_command_says_which_extra_is_missing(gone: str, extra: str, arguments: list[str], metadata: Path) -> None:
    code = f"import sys; sys.path.insert(0, '{metadata}'); sys.modules['{gone}'] = None; sys.argv[1:] = {arguments!r}\n"
    result = run(sys.executable, code + "from stepscore_service.commands.main import main; main()")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(
        f'stepscore: this needs {gone}(\\.\\w+)*, which is not installed: pip install "stepscore\\[{extra}\\]"\n',
        result.stderr,
    )


CALL = f"""
import sys
from stepscore_service.client import StepscoreClient
with StepscoreClient(sys.argv[1]) as client:
    print(client.score({PROBLEM!r}, {STEPS!r}).rewards)
"""


@pytest.mark.slow
@pytest.mark.parametrize("pins", [["httpx==0.25.2", "pydantic==2.8.2"], ["httpx", "pydantic"]])
def test_the_base_joins_an_environment_with_other_pins_and_talks_to_a_server(
    pins: list[str], url: str, tmp_path: Path
) -> None:
    """Needs a package index; the second case takes the newest releases."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins, ROOT]
    subprocess.run([*map(str, install)], check=True)
    called = run_clean(python, "-c", CALL, url)
    assert called.stdout.count(",") == len(STEPS) - 1, called.stderr
    imported = run_clean(python, "-c", IMPORT_ALL.format(names=LIGHT))
    assert imported.returncode == 0, imported.stderr
    assert {name for name in imported.stdout.split() if name[0] != "_"} <= CLOSURE
    refused = run_clean(python.with_name("stepscore"), "serve")
    assert 'pip install "stepscore[serve]"' in refused.stderr
    assert refused.returncode == 2


def run_clean(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """With what is installed there alone."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run([*map(str, command)], env=clean, capture_output=True, text=True, check=False)
