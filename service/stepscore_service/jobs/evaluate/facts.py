"""What a reader of a report must know to believe and to repeat it: the model, the command, versions, hardware."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepscore_service.jobs.evaluate.suites.base import Measured

if TYPE_CHECKING:
    from stepscore.scoring.protocol import ModelInfo

PACKAGES = ("stepscore", "torch", "transformers", "numpy", "scipy")


def facts(info: ModelInfo | None, hardware: Mapping[str, Any]) -> Measured:
    """info: None if no model was asked. hardware: on which the rewards were computed."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["stepscore", *sys.argv[1:]]),
        "model": None if info is None else _model(info),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "hardware": dict(hardware),
    }


def _model(info: ModelInfo) -> Measured:
    facts = info.as_dict()
    bounds = facts.pop("reward_range")
    return {**facts, "reward": bounds["kind"], "low": bounds["low"], "high": bounds["high"]}


def hardware_of(info: ModelInfo | None, url: str | None) -> Measured:
    """This machine, or the service at `url`, if one was asked."""
    if url is not None:
        return {"service": url}
    found: Measured = {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "system": platform.system()}
    if info is not None and info.device.startswith("cuda"):
        import torch  # if a model runs on CUDA, it is loaded already

        found["gpu"] = torch.cuda.get_device_name(info.device)
    return found


def _processor() -> str:
    """The name that Linux gives the processor; elsewhere what Python knows."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
