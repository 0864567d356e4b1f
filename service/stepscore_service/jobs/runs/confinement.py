"""Which confinement holds the programs that a policy wrote: said at the start, and kept with the results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stepscore.sandbox.confinement import Confined
from stepscore_service.jobs.runs.console import note


def confinements(tools: Iterable[object]) -> dict[str, Any]:
    """By the name of each tool that runs programs: how they are held, and their limits."""
    return {tool.name: tool.confinement.told() for tool in tools if isinstance(tool, Confined)}


def say_confinement(held: dict[str, Any]) -> None:
    for name, told in held.items():
        limits = told["limits"]
        note(
            f"Programs ({name}) run {told['by']}: each has {limits['cpu_seconds']} s of processor time, "
            f"{limits['memory_bytes'] >> 20} MiB of memory and {limits['disk_bytes'] >> 20} MiB of files."
        )
