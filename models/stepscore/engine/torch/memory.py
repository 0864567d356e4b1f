"""Whether a checkpoint fits into the memory at hand, before anything is loaded."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from stepscore.config import AUTO_KV_CACHE, CheckpointFacts
from stepscore.errors import NotEnoughMemory

GIB = 1 << 30
CPU_CACHE = GIB
CUDA_CACHE_SHARE = 0.5
CGROUP = Path("/sys/fs/cgroup")

RECORDING = threading.Lock()
"""Held while a CUDA graph is recorded, and while the whole device is waited for: that would break a recording of any
other thread, an engine that is opened beside a running one for example."""


def check_memory(
    checkpoints: Sequence[CheckpointFacts],
    kv_cache_bytes: int,
    dtype: torch.dtype,
    device: torch.device,
    engines: int = 1,
) -> None:
    """Raises NotEnoughMemory, with both numbers, if weights and KV cache exceed what the device has left.

    engines: how many of them share it.
    """
    weights = (
        engines * sum(math.prod(shape) for facts in checkpoints for shape in facts.shapes.values()) * dtype.itemsize
    )
    at_hand = memory_at_hand(device)
    if kv_cache_bytes == AUTO_KV_CACHE:
        kv_cache_bytes = 0 if device.type == "cuda" else CPU_CACHE  # on CUDA it takes what is left
    cache = engines * kv_cache_bytes
    needed = weights + cache
    if at_hand is not None and needed > at_hand:
        number_format = str(dtype).removeprefix("torch.")
        who = f"{engines} engines over {checkpoints[0].name} need" if engines > 1 else f"{checkpoints[0].name} needs"
        ways = [
            "more memory",
            *(["a smaller --kv-cache-bytes"] if cache else []),
            *(["--dtype bfloat16"] if dtype == torch.float32 else []),
            *(["fewer engines (--data-parallel)"] if engines > 1 else []),
        ]
        raise NotEnoughMemory(
            f"{who} {needed / GIB:.1f} GiB on {device} ({weights / GIB:.1f} GiB of weights as {number_format}, "
            f"{cache / GIB:.1f} GiB of KV cache), and {at_hand / GIB:.1f} GiB are at hand; give it {' or '.join(ways)}",
            needed=needed,
            at_hand=at_hand,
        )


def cache_bytes(wanted: int, device: torch.device, activations: int, free: int | None = None) -> int:
    """The budget of the KV cache after the weights were loaded. wanted: `EngineOptions.kv_cache_bytes`.

    activations: bytes that a forward needs beside it. free: what is left; default what the device reports. Half of it
    stays free on CUDA, so that another model, or new weights of this one, can be loaded beside it.
    """
    if wanted != AUTO_KV_CACHE:
        return wanted
    if device.type != "cuda":
        return CPU_CACHE
    free = memory_at_hand(device) if free is None else free
    return max(0, int(CUDA_CACHE_SHARE * ((free or 0) - activations)))


def memory_at_hand(device: torch.device) -> int | None:
    """Bytes that can still be taken; None if that is not known."""
    if device.type == "cuda":
        give_back()
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    known = [each for each in (machine_memory(), container_memory()) if each is not None]
    return min(known, default=None)


def give_back() -> None:
    """Return to the GPU what PyTorch keeps of freed tensors; other models count it as taken.

    PyTorch refuses this after a recording that failed, and after the device did; it is then no worse than before.
    """
    if torch.cuda.is_available():
        with RECORDING, suppress(RuntimeError):
            torch.cuda.empty_cache()


def machine_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """What the kernel could give without swapping."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) << 10 if found else None


def container_memory(cgroup: Path = CGROUP) -> int | None:
    """What the container's limit leaves (cgroup v2), files in its page cache not counted; None without a limit."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        cached = re.search(r"^inactive_file (\d+)", (cgroup / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + (int(cached[1]) if cached else 0)
