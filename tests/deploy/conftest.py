"""The files of deploy/ as data, and the system tools that check them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]

Tool = Callable[..., subprocess.CompletedProcess[str]]


def find_tool(name: str) -> str:
    """Path of a tool of the environment or the system. Absent: a skip, or a failure where CI wants every test run."""
    beside_python = shutil.which(name, path=str(Path(sys.executable).parent))
    found = beside_python or shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return found
    message = f"{name} is not on this machine (see .ci/packages.txt and `make venv`)"
    if os.environ.get("REQUIRE_SYSTEM_TOOLS") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def system_tool() -> Callable[[str], str]:
    """The path of a tool by its name; see `find_tool`."""
    return find_tool


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Runs a tool in the repository's root; never raises on its exit status."""

    def run(name: str, *arguments: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        command = [find_tool(name), *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)

    return run


Build = Callable[..., str]
Manifests = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="session")
def build(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """What `kubectl apply -k` would send for deploy/OVERLAY with some components, as YAML."""

    @cache
    def kustomize(overlay: str, *components: str) -> str:
        folder = ROOT / "deploy" / overlay
        if components:
            folder = own_overlay(tmp_path_factory.mktemp("overlay").resolve(), overlay, components)
        result = tool("kubectl", "kustomize", folder)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return kustomize


def own_overlay(folder: Path, overlay: str, components: Sequence[str]) -> Path:
    """An overlay as a user writes one."""
    deploy = Path(os.path.relpath(ROOT / "deploy", folder))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(deploy / overlay)],
        "components": [str(deploy / "components" / name) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


@pytest.fixture(scope="session")
def manifests(build: Build) -> Manifests:
    """The built objects of an overlay by their kind, each of which occurs once beside the dashboard's ConfigMap."""

    def by_kind(overlay: str, *components: str) -> dict[str, dict[str, Any]]:
        documents = list(yaml.safe_load_all(build(overlay, *components)))
        kept = [document for document in documents if document["metadata"]["name"] != "stepscore-dashboard"]
        assert len({document["kind"] for document in kept}) == len(kept)
        return {document["kind"]: document for document in kept}

    return by_kind


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@contextmanager
def _answer(path: str, status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == path else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def free_answer() -> Callable[[str, int], AbstractContextManager[int]]:
    """A server on a free port that answers one path with one status, and 404 elsewhere."""
    return _answer
