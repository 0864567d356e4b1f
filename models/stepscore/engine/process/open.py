"""Opening engines in processes of their own, one for each GPU or for each share of the CPU's cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import torch

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.process.engine import EngineProcess, ProcessEngine
from stepscore.engine.process.messages import OpenEngine
from stepscore.engine.torch.engine import checkpoints_of
from stepscore.engine.torch.memory import check_memory
from stepscore.errors import CheckpointError, UnsupportedByEngine
from stepscore.family.heads import Head
from stepscore.placement import choose_device, choose_dtype

VISIBLE = "CUDA_VISIBLE_DEVICES"


def open_process_engines(
    facts: CheckpointFacts, head: Head, options: EngineOptions, engine: str, count: int
) -> list[ProcessEngine]:
    """`count` engines over one checkpoint, opened at the same time.

    Each gets GPUs of its own, or an even share of the CPU's threads. kv_cache_bytes is for each of them.
    Raises what `open_engine` raises, and CheckpointError if there are too few GPUs.
    """
    if engine.startswith("vllm:"):
        raise UnsupportedByEngine(f"{engine} is one server; start it with --data-parallel-size {count}", engine=engine)
    device = choose_device(options.device)
    if device.type == "cpu" and engine == "torch":
        check_memory(
            checkpoints_of(facts, head, options),
            options.kv_cache_bytes,
            choose_dtype(options.dtype, device),
            device,
            count,
        )
    places = _places(options, count, device)
    opening = OpenEngine(facts, head, share_of(options, count, device), engine)
    names = [f"engine {number} of {count} of {facts.name}" for number in range(1, count + 1)]
    processes = [EngineProcess(opening, name, place) for name, place in zip(names, places, strict=True)]
    try:
        return [ProcessEngine(process, process.wait_open()) for process in processes]
    except BaseException:
        for process in processes:
            process.kill()
            process.end()
        raise


def _places(options: EngineOptions, count: int, device: torch.device) -> Sequence[dict[str, str]]:
    """The environment of each process. Raises CheckpointError if there are too few GPUs."""
    if device.type == "cpu":
        return [{}] * count
    named = os.environ.get(VISIBLE)
    gpus = (
        [each.strip() for each in named.split(",")]
        if named
        else [str(number) for number in range(torch.cuda.device_count())]
    )
    each = options.tensor_parallel_size
    if len(gpus) < count * each:
        raise CheckpointError(f"{count} engines of {each} GPU each need {count * each} GPUs, and there are {len(gpus)}")
    return [{VISIBLE: ",".join(gpus[start : start + each])} for start in range(0, count * each, each)]


def share_of(options: EngineOptions, count: int, device: torch.device) -> EngineOptions:
    """Options of one engine: threads, so that all of them together do not use more than there are, and the device.

    A process that finds no GPU in its place must not choose the CPU for itself.
    """
    threads = options.threads or max(1, torch.get_num_threads() // count)
    return replace(options, threads=threads, device="cuda" if device.type == "cuda" else "cpu")
