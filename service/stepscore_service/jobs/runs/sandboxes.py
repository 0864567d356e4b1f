"""Which sandbox holds the programs that a policy wrote: reported at the start, and kept with the results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stepscore.sandbox.sandbox import Sandboxed
from stepscore_service.jobs.runs import console


def sandboxes(tools: Iterable[object]) -> dict[str, Any]:
    """By the name of each tool that runs programs: how they are held, and their limits."""
    return {tool.name: tool.sandbox.as_record() for tool in tools if isinstance(tool, Sandboxed)}


def report_sandboxes(records: dict[str, Any]) -> None:
    for name, record in records.items():
        limits = record["limits"]
        console.info(
            f"Programs ({name}) run {record['by']}: each has {limits['cpu_seconds']} s of processor time, "
            f"{limits['memory_bytes'] >> 20} MiB of memory and {limits['disk_bytes'] >> 20} MiB of files."
        )
