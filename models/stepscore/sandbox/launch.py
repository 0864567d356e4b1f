"""The way into the sandbox: a process that gives up, step by step, what it may do, and then becomes the command.

Its argument is the JSON of a `LaunchOrder`. It ends with REFUSED, and says why, if a step fails: the command never
runs with more rights than ordered.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from dataclasses import dataclass
from functools import partial

from stepscore.sandbox import landlock, syscalls
from stepscore.sandbox.kernel import prctl

REFUSED = 125
_SET_PARENT_DEATH_SIGNAL, _READ_BOUNDING, _DROP_BOUNDING, _LAST_CAPABILITY = 1, 23, 24, 63


@dataclass(frozen=True)
class LaunchOrder:
    """What to run (absolute path first) and what to leave it. Limits are in seconds and bytes.

    weak: run it even if the kernel cannot take away files or network.
    landlock: the newest version of Landlock to use; None for the kernel's own.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    cpu_seconds: int
    memory_bytes: int
    file_bytes: int
    parent: int
    weak: bool = False
    landlock: int | None = None


def main() -> None:
    order = LaunchOrder(**json.loads(sys.argv[1]))
    prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != order.parent:
        sys.exit(REFUSED)
    _limit(order)
    for name, step in (
        ("capabilities", _drop_capabilities),
        ("Landlock", partial(landlock.allow_only, order.readable, order.writable, order.landlock)),
        ("seccomp", syscalls.deny),
    ):
        try:
            step()
        except OSError as error:
            if not order.weak:
                sys.stderr.write(f"{name}: {error}")
                sys.exit(REFUSED)
    os.execve(order.command[0], order.command, order.environment)


def _limit(order: LaunchOrder) -> None:
    """Memory is limited last: this interpreter may hold more than the command will be given."""
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CPU, order.cpu_seconds),
        (resource.RLIMIT_FSIZE, order.file_bytes),
        (resource.RLIMIT_AS, order.memory_bytes),
    ):
        resource.setrlimit(kind, (value, value))


def _drop_capabilities() -> None:
    """What root may do beyond its own files ends at the coming exec; other users have nothing to drop."""
    if os.geteuid() != 0:
        return
    for capability in range(_LAST_CAPABILITY):
        try:
            held = prctl(_READ_BOUNDING, capability)
        except OSError:  # the kernel knows no further ones
            return
        if held:
            prctl(_DROP_BOUNDING, capability)
