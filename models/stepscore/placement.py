"""The one place that decides where a model runs, in which numbers and how long its sequences may be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from stepscore.config import CPU_BFLOAT16, Compile, Device, DType, Mode, Quantize
from stepscore.errors import CheckpointError, UnsupportedByEngine

CPU_FORWARD, CUDA_FORWARD, LARGE_CUDA_FORWARD = 1024, 4096, 16_384
"""Tokens of a forward: the measured best on CPU is 512 to 1,024; a GPU needs more to be busy."""

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs. max_tokens: its longest sequence. tile: rows of each matrix product (`Linear`), 0 for any."""

    device: torch.device
    dtype: torch.dtype
    max_tokens: int
    tile: int = 0

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def place(device: Device, dtype: DType, max_tokens: int, longest: int) -> Placement:
    """The options of a model, resolved. longest: what its checkpoint allows, if max_tokens is 0.

    Raises CheckpointError if CUDA is required and absent.
    """
    chosen = choose_device(device)
    return Placement(chosen, choose_dtype(dtype, chosen), max_tokens or longest)


def choose_device(wanted: Device) -> torch.device:
    """Raises CheckpointError if CUDA is required and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CheckpointError(f"the device cuda was asked for, and {_why_no_cuda()}")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _why_no_cuda() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} was built without it; install a build for CUDA, or choose --device cpu"
    return (
        "PyTorch finds no GPU; see what nvidia-smi reports, and whether CUDA_VISIBLE_DEVICES hides it, or choose "
        "--device cpu"
    )


def choose_dtype(wanted: DType, device: torch.device) -> torch.dtype:
    """auto is bfloat16 on CUDA and on CPUs with bfloat16 units, float32 on other CPUs.

    Without such units bfloat16 is many times slower than float32.
    """
    if wanted == "auto":
        wanted = "bfloat16" if device.type == "cuda" or cpu_has_bfloat16() else "float32"
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def choose_forward(device: torch.device) -> int:
    return CUDA_FORWARD if device.type == "cuda" else CPU_FORWARD


def choose_large_forward(device: torch.device, forward: int) -> int:
    """Tokens of a forward while nothing small waits. forward: of any other; 0 if it was not chosen by hand."""
    return LARGE_CUDA_FORWARD if device.type == "cuda" and not forward else forward or choose_forward(device)


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


def check_tensor_parallel(size: int, runs: str) -> None:
    """Raises UnsupportedByEngine if anything but vLLM in this process is to use more than one GPU.

    runs: the engine or generator, as it is written in the options.
    """
    if size == 1 or runs == "vllm":
        return
    advice = "choose vllm"
    if runs.startswith("vllm:"):
        advice = f"start that server with --tensor-parallel-size {size}"
    elif runs.startswith("openai:"):
        advice = "how many GPUs that server uses is its own setting"
    raise UnsupportedByEngine(
        f"{runs} does not spread a model over {size} GPUs; {advice}", engine=runs, tensor_parallel_size=size
    )


def check_quantize(
    kind: Quantize, runs: str, mode: Mode, device: Device | torch.device, compile: Compile = "auto"
) -> None:
    """Raises UnsupportedByEngine if 8-bit weights would gain nothing or break a promise.

    runs: the engine as it is written in the options.
    """
    reason = "" if kind == "none" else _refusal(kind, runs, mode, device, compile)
    if reason:
        raise UnsupportedByEngine(f"quantize={kind} is refused: {reason}", engine=runs, quantize=kind)


def _refusal(kind: Quantize, runs: str, mode: Mode, device: Device | torch.device, compile: Compile) -> str:
    if runs != "torch":
        return "only the torch engine quantizes; vLLM takes it from the checkpoint"
    if mode != "fast":
        return f"mode {mode} promises the checkpoint's own numbers"
    if kind == "fp8" and compile == "off":
        return "unfused, fp8 is slower than bfloat16; leave compile on"
    place = device if isinstance(device, torch.device) else choose_device(device)
    if place.type != "cuda":
        return "on CPU 8-bit weights were measured to gain nothing, and they cost accuracy"
    if kind == "fp8" and torch.cuda.get_device_capability(place) < (8, 9):
        return "this GPU has no fp8 products; choose int8"
    return ""
