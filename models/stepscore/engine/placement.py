"""Where and in which numbers an engine runs when it is left to choose."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import torch

from stepscore.config import CPU_BFLOAT16, Device, DType
from stepscore.errors import CheckpointError

CPU_FORWARD, CUDA_FORWARD = 1024, 4096
"""Tokens of a forward: the measured best on CPU is 512 to 1,024; a GPU needs more to be busy."""

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def choose_device(wanted: Device) -> torch.device:
    """Raises CheckpointError where CUDA is asked for and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("the device cuda was asked for, and PyTorch finds none")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def choose_dtype(wanted: DType, device: torch.device) -> torch.dtype:
    """auto is bfloat16 on CUDA and on CPUs with bfloat16 units, float32 on other CPUs.

    Without such units bfloat16 is many times slower than float32.
    """
    if wanted == "auto":
        wanted = "bfloat16" if device.type == "cuda" or cpu_has_bfloat16() else "float32"
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def choose_forward(device: torch.device) -> int:
    return CUDA_FORWARD if device.type == "cuda" else CPU_FORWARD


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor's flags name bfloat16 units; False if there are no flags to read.

    The environment variable STEPSCORE_CPU_BFLOAT16 (0 or 1), a switch for tests, replaces the flags. Raises
    CheckpointError if it is anything else.
    """
    forced = os.environ.get(CPU_BFLOAT16)
    return _flags_name_bfloat16(cpuinfo) if forced is None else _switch(forced)


@cache
def _flags_name_bfloat16(cpuinfo: Path) -> bool:
    try:
        flags = cpuinfo.read_text(encoding="ascii", errors="replace").lower()
    except OSError:
        return False
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())


def _switch(value: str) -> bool:
    if value not in ("0", "1"):
        raise CheckpointError(f"{CPU_BFLOAT16} is {value!r}; set it to 0 or 1, or state a dtype instead of auto")
    return value == "1"
