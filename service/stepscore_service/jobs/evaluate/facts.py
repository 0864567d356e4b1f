"""What a reader of a report must know to believe and to repeat it: the model, the command, versions, hardware."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from stepscore_service.jobs.evaluate.suites.base import Measured

if TYPE_CHECKING:
    from stepscore.scoring import ModelInfo

PACKAGES = ("stepscore", "torch", "transformers", "numpy", "scipy")


def facts(info: ModelInfo | None, url: str | None) -> Measured:
    """info: None where no model was asked. url: of the service that was asked, if one was."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["stepscore", *sys.argv[1:]]),
        "model": None if info is None else _model(info),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "hardware": {"service": url} if url else _hardware(info),
    }


def _model(info: ModelInfo) -> Measured:
    facts = info.as_dict()
    bounds = facts.pop("reward_range")
    return {**facts, "reward": bounds["kind"], "low": bounds["low"], "high": bounds["high"]}


def _hardware(info: ModelInfo | None) -> Measured:
    found: Measured = {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "system": platform.system()}
    if info is not None and info.device.startswith("cuda"):
        import torch  # where a model runs on CUDA, it is loaded already

        found["gpu"] = torch.cuda.get_device_name(info.device)
    return found


def _processor() -> str:
    """The name that Linux gives the processor; elsewhere what Python knows."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
