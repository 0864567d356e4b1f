"""A service of its own process on a free port of the loopback interface, and what the scripts say about a run."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

SERVE = "import sys; from stepscore_service.http.serve import serve; from stepscore_service.settings import Settings; "
SERVE += "sys.exit(serve(Settings()))"
START_SECONDS = 300.0


class Service:
    """A running service. settings: names as in Settings. command: what runs, by default `stepscore serve`."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-c", SERVE), **settings: str) -> None:
        given = {"host": "127.0.0.1", "port": "0", "log_level": "error", **settings}
        self._environment = os.environ | {f"STEPSCORE_{name.upper()}": value for name, value in given.items()}
        self._command = list(command)
        self.url = ""
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """Start it, again perhaps, and wait until it is ready. Ends the script if it does not start."""
        self.process = subprocess.Popen(self._command, env=self._environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"docs +(http\S+)/docs", line):
                self.url = found[1]
                break
        else:
            raise SystemExit("the service did not start")
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/health/ready").is_success:
                    return self.process
            except httpx.TransportError:
                time.sleep(0.02)
        raise SystemExit("the service did not become ready")

    def kill(self) -> None:
        self.process.kill()
        self._finish()

    def _finish(self, seconds: float | None = None) -> None:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        self.process.wait(seconds)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def metric(self, name: str) -> float:
        """The sum of a metric's series; an absent one is an error."""
        text = httpx.get(f"{self.url}/metrics").text
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        if not found:
            raise RuntimeError(f"/metrics shows no {name}")
        return sum(map(float, found))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self._finish(60)
        except subprocess.TimeoutExpired:
            self.kill()


def tiny_checkpoints(folder: Path) -> tuple[Path, Path]:
    """Two checkpoints of one true architecture and different weights, as the tests make them."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    import checkpoints  # type: ignore[import-not-found]  # it is beside the tests, not in a package

    return checkpoints.qwen_math(folder / "first"), checkpoints.qwen_math(folder / "second", seed=7)


@contextmanager
def served_models(model: str) -> Iterator[str]:
    """What to serve: `tiny` is one of the tests' checkpoints, anything else is itself."""
    if model != "tiny":
        yield model
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"tiny={tiny_checkpoints(Path(folder))[0]}"


def header(title: str, module: str) -> str:
    """What a reader needs to judge the numbers: when, on what, with what, how."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("stepscore", "torch", "fastapi", "uvicorn"))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return "\n".join(
        [
            f"# {title}, {datetime.now(UTC):%Y-%m-%d}",
            f"- machine: {_processor()}, {os.cpu_count()} cores, load {load} (it is shared with whatever else runs)",
            f"- software: Python {platform.python_version()}, {packages}",
            f"- command: python -m {module} {' '.join(sys.argv[1:])}",
        ]
    )


def _processor() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return str(names[0]) if names else platform.machine()
