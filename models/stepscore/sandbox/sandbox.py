"""Running a command in the sandbox, and what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from stepscore.errors import SandboxUnavailable
from stepscore.sandbox.folder import FolderLimits, is_full, temporary_folder
from stepscore.sandbox.launch import REFUSED, LaunchOrder

End = Literal["exited", "cpu", "wall", "disk", "killed"]
SHOWN_BYTES = 1 << 16
POLL_SECONDS = 0.02
LIBRARY = Path(__file__).parents[2]
LAUNCH = "import sys; sys.path.insert(0, sys.argv.pop(1)); from stepscore.sandbox.launch import main; main()"
"""Without the site's packages, whose start files take longer than all else here."""

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom")
"""What a command may read besides its own folder: programs and libraries, no settings and no one's data."""


@dataclass(frozen=True, slots=True)
class Limits:
    """disk_bytes, disk_entries: all in the folder, looked at while the command runs; file_bytes: any one file."""

    cpu_seconds: int = 5
    wall_seconds: float = 20.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    disk_bytes: int = 64 << 20
    disk_entries: int = 4096


DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Ended:
    """end: how. status: the exit status, or minus the signal. out, error: the beginning of what it wrote."""

    end: End
    status: int
    out: str
    error: str


@runtime_checkable
class Sandboxed(Protocol):
    """A verifier or checker that runs programs which nobody has read."""

    @property
    def name(self) -> str: ...
    @property
    def sandbox(self) -> Sandbox: ...


class Sandbox:
    """Runs commands one at a time, each in an empty folder of its own that is removed with all it wrote.

    No network, no second process or thread, no environment, no files but SYSTEM, `readable` and its folder, by the
    means of Linux that need no privilege: seccomp, Landlock and resource limits. Safe from any thread.
    """

    def __init__(self, limits: Limits = DEFAULT, readable: Sequence[str] = (), weak: bool = False) -> None:
        """weak: if the kernel lacks a means, run without it; `lacks` then says what is missing.

        Raises SandboxUnavailable if it lacks one and `weak` is not set.
        """
        self.limits, self._readable, self._weak = limits, tuple(readable), False
        self.lacks = ""
        try:
            self.run([sys.executable, "-I", "-S", "-c", "0"], readable=interpreter())
        except SandboxUnavailable as error:
            if not weak:
                raise
            self._weak, self.lacks = True, str(error.detail["reason"])

    def __str__(self) -> str:
        if self.lacks:
            return f"only partly sandboxed ({self.lacks})"
        return "sandboxed by seccomp, Landlock and resource limits"

    def as_record(self) -> dict[str, Any]:
        """What is in force, for a record: how programs are held, and what each may use."""
        return {"by": str(self), "limits": asdict(self.limits)}

    def run(
        self,
        command: Sequence[str],
        files: dict[str, str] | None = None,
        given: str = "",
        readable: Sequence[str] = (),
    ) -> Ended:
        """Run a command (absolute path first) beside `files` (name to text); `given` is its standard input.

        Both are UTF-8 under any locale; half a surrogate pair arrives as bytes that are not.
        """
        with temporary_folder("stepscore-") as folder:
            work, channels = Path(folder, "work"), Path(folder, "channels")
            work.mkdir()
            channels.mkdir()
            for name, text in (files or {}).items():
                (work / name).write_bytes(_utf8(text))
            (channels / "in").write_bytes(_utf8(given))
            return self._run(command, work, channels, (*self._readable, *readable))

    def _run(self, command: Sequence[str], work: Path, channels: Path, readable: Sequence[str]) -> Ended:
        order = self._order(command, work, readable)
        launch = [sys.executable, "-I", "-S", "-c", LAUNCH, str(LIBRARY), json.dumps(asdict(order))]
        with (
            (channels / "in").open("rb") as given,
            (channels / "out").open("w+b") as out,
            (channels / "error").open("w+b") as error,
        ):
            process = subprocess.Popen(
                launch, stdin=given, stdout=out, stderr=error, cwd=work, env={}, start_new_session=True
            )
            end = self._watch(process, work)
            ended = Ended(end, process.returncode, _beginning(channels / "out"), _beginning(channels / "error"))
        if ended.status == REFUSED and not ended.out:
            raise _unavailable(ended.error.strip()[-300:])
        return ended

    def _order(self, command: Sequence[str], work: Path, readable: Sequence[str]) -> LaunchOrder:
        limits = self.limits
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(work), "TMPDIR": str(work), "LANG": "C.UTF-8"}
        single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return LaunchOrder(
            command=tuple(command),
            environment=environment | single,
            readable=(*SYSTEM, *readable),
            writable=(str(work), "/dev/null"),
            cpu_seconds=limits.cpu_seconds,
            memory_bytes=limits.memory_bytes,
            file_bytes=limits.file_bytes,
            parent=os.getpid(),
            weak=self._weak,
        )

    def _watch(self, process: subprocess.Popen[bytes], work: Path) -> End:
        """Wait for the end, or make it: after `wall_seconds`, or when the folder holds too much."""
        until = time.monotonic() + self.limits.wall_seconds
        most = FolderLimits(self.limits.disk_bytes, self.limits.disk_entries)
        stopped: End | None = None
        try:
            while stopped is None and not _has_ended(process, until):
                full = is_full(work, most, until)
                stopped = "disk" if full else "wall" if time.monotonic() > until else None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if stopped is None and process.returncode < 0:
            return "cpu" if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL) else "killed"
        return stopped or "exited"


def _unavailable(reason: str) -> SandboxUnavailable:
    return SandboxUnavailable(
        f"this machine cannot sandbox a program ({reason}). Run on Linux 5.13 or newer with Landlock and seccomp, "
        "which Docker's default profile allows since version 23, or accept less with the option :weak",
        reason=reason,
    )


def interpreter() -> tuple[str, ...]:
    """What this Python reads: its own folders, and those of its environment."""
    return tuple({sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)})


def _has_ended(process: subprocess.Popen[bytes], until: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, min(POLL_SECONDS, until - time.monotonic())))
    return process.returncode is not None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(SHOWN_BYTES).decode(errors="replace")
