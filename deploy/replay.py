"""Replay a target of the Dockerfile in an empty folder, without a container engine, and serve from it.

    python deploy/replay.py FOLDER [--python PYTHON] [--torch-index URL]

Every COPY, ENV, ARG, USER and RUN of the target `cpu` and of the stages under it is done in order, with the image's
paths below FOLDER, and with no variable of this shell but pip's. Then the entry point is started with the image's
variables, the health check asks it, a solution is scored, and SIGTERM ends it. Not replayed: the base image (PYTHON
stands for it), and commands that make users or install packages. As root, the users are those of the image.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

REPOSITORY = Path(__file__).parents[1]
MOVED = re.compile(r"(?<![\w./])/(?=(opt|source|wheels|var/cache)\b)")
NOT_REPLAYED = ("groupadd", "useradd", "apt-get", "rm -rf /var/lib/apt")
READY_SECONDS = 600
PROBLEM = {"problem": "Ann has 2 apples and buys 3. How many?", "steps": ["2 + 3 = 5 apples.", "The answer is 6."]}


@dataclass
class Stage:
    """What a stage is left with. instructions: (keyword, text) in order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def stages(dockerfile: str) -> dict[str, Stage]:
    """By name; comments are left out, continued lines joined."""
    found: dict[str, Stage] = {}
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    for line in filter(None, map(str.strip, re.sub(r"\\\n", " ", lines).splitlines())):
        keyword, _, text = line.partition(" ")
        if keyword == "FROM":
            base, _, name = text.split()
            current = found[name] = Stage(base)
        else:
            current.instructions.append((keyword, text.strip()))
    return found


class Replay:
    """Runs stages below a folder. All share one root: what COPY moves between stages is there already."""

    def __init__(self, root: Path, python: str, arguments: Mapping[str, str]) -> None:
        self.root = root
        self._arguments = arguments
        self._stages = stages((REPOSITORY / "Dockerfile").read_text(encoding="utf-8"))
        self._done: dict[str, dict[str, str]] = {}
        subprocess.run([python, "-m", "venv", root / "base"], check=True)

    def run(self, name: str) -> dict[str, str]:
        """The variables that the stage ends with."""
        if name not in self._stages:
            path = f"{self.root}/base/bin:/usr/bin:/bin"
            return {"PATH": path} | {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
        if name not in self._done:
            stage = self._stages[name]
            variables = dict(self.run(stage.base))
            for keyword, text in stage.instructions:
                self._instruct(keyword, text, variables)
            self._done[name] = variables
        return self._done[name]

    def of(self, name: str, keyword: str) -> str:
        """The text of an instruction in force at the end of a stage: its own, or one of a stage under it."""
        stage = self._stages[name]
        own = [text for word, text in stage.instructions if word == keyword]
        return own[-1] if own else self.of(stage.base, keyword)

    def _instruct(self, keyword: str, text: str, variables: dict[str, str]) -> None:
        if keyword in ("ENV", "ARG"):
            for pair in text.split():
                key, _, value = pair.partition("=")
                value = self._arguments.get(key, value) if keyword == "ARG" else value
                variables[key] = self.moved(value).replace("$PATH", variables["PATH"])
        elif keyword == "USER":
            variables["USER"] = text.partition(":")[0]
        elif keyword == "WORKDIR":
            variables["PWD"] = self.moved(text)
            Path(variables["PWD"]).mkdir(parents=True, exist_ok=True)
        elif keyword == "COPY":
            self._copy(text, variables)
        elif keyword == "RUN":
            for other in re.findall(r"--mount=from=([\w-]+)\S*", text):
                self.run(other)
            self._shell(re.sub(r"--mount=\S+\s*", "", text), variables)

    def _copy(self, text: str, variables: Mapping[str, str]) -> None:
        other = re.match(r"--from=(\S+) ", text)
        if other:
            self.run(other[1])
            return
        *sources, target = text.split()
        folder = Path(variables.get("PWD", self.root)) / self.moved(target)
        for source in sources:
            place = REPOSITORY / source
            if place.is_dir():
                shutil.copytree(place, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(place, folder)

    def _shell(self, text: str, variables: Mapping[str, str]) -> None:
        for command in re.split(r"\s+&&\s+", text):
            if command.startswith(NOT_REPLAYED):
                print(f"not replayed: {command}")
                continue
            print(f"+ {command}", flush=True)
            folder = variables.get("PWD", self.root)
            own = command if os.geteuid() == 0 else re.sub(r"--(owner|group)=\d+", "", command)
            user = int(variables.get("USER", "0")) if os.geteuid() == 0 else None
            command_line = ["bash", "-euc", self.moved(own)]
            subprocess.run(command_line, cwd=folder, env=dict(variables), user=user, group=user, check=True)

    def moved(self, text: str) -> str:
        """Paths of the image, below the root."""
        return MOVED.sub(f"{self.root}/", text)


def serve(replay: Replay, target: str, variables: dict[str, str]) -> Iterator[str]:
    """Lines that say what was seen. Raises RuntimeError or OSError if anything differs from what a container does."""
    command = [*json.loads(replay.of(target, "ENTRYPOINT")), *json.loads(replay.of(target, "CMD"))]
    health = json.loads(replay.of(target, "HEALTHCHECK").partition("CMD ")[2])
    url = f"http://127.0.0.1:{variables['STEPSCORE_PORT']}"
    user = int(variables["USER"]) if os.geteuid() == 0 else None
    started = time.monotonic()
    process = subprocess.Popen(command, env=variables, cwd=variables["PWD"], user=user, group=user)
    try:
        while subprocess.run(health, env=variables, capture_output=True, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() - started > READY_SECONDS:
                raise RuntimeError("the server does not become ready")
            time.sleep(1)
        yield f"healthy after {time.monotonic() - started:.1f} s"
        request = Request(f"{url}/score", json.dumps(PROBLEM).encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as response:
            yield f"POST /score: {response.status}, rewards {json.load(response)['rewards']}"
        (line,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        yield f"resident memory: {int(line) / 2**20:.2f} GiB"
        process.send_signal(signal.SIGTERM)
        yield f"SIGTERM: exit status {process.wait(timeout=60)}"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=sys.executable, help="stands for the base image's")
    parser.add_argument("--torch-index", help="the build argument TORCH_INDEX")
    parser.add_argument("--port", default="8000")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True)
    arguments = {"TORCH_INDEX": given.torch_index} if given.torch_index else {}
    replay = Replay(folder, given.python, arguments)
    variables = replay.run("cpu")
    variables["STEPSCORE_PORT"] = given.port
    for line in serve(replay, "cpu", variables):
        print(line, flush=True)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    print(f"size of the root: {size / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
