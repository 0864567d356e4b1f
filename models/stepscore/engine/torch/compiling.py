"""Compiled layers: fewer passes over memory for the same products, one graph for every number of rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import torch

from stepscore.config import Compile, Mode
from stepscore.errors import UnsupportedByEngine

INDUCTOR_CACHE = "TORCHINDUCTOR_CACHE_DIR"

Parameters = ParamSpec("Parameters")
ResultT = TypeVar("ResultT")


def compiled(function: Callable[Parameters, ResultT]) -> Callable[Parameters, ResultT]:
    """The function, compiled once. The first dimension of its tensor arguments may be anything from 2 on.

    Raises torch's error if it cannot be one graph.
    """
    fast = cast("Callable[Parameters, ResultT]", torch.compile(function, fullgraph=True))

    def call(*arguments: Parameters.args, **named: Parameters.kwargs) -> ResultT:
        for each in arguments:
            if isinstance(each, torch.Tensor):
                torch._dynamo.mark_dynamic(each, 0)
        return fast(*arguments, **named)

    return call


def compiles(wanted: Compile, mode: Mode, device: torch.device) -> bool:
    """Whether layers are compiled: auto does it on CUDA. Raises UnsupportedByEngine for `on` outside mode fast."""
    if wanted == "on" and mode != "fast":
        raise UnsupportedByEngine(
            f"compile=on is refused: mode {mode} promises numbers that do not depend on compiled code", engine="torch"
        )
    return wanted == "on" or (wanted == "auto" and mode == "fast" and device.type == "cuda")


def keep_compiled(folder: Path) -> None:
    """Keep what is compiled in a folder, unless the environment names another; later starts take it from there."""
    os.environ.setdefault(INDUCTOR_CACHE, str(folder))


def graphs() -> tuple[int, int]:
    """How many graphs this process has compiled, and how often a graph was broken."""
    counters: Any = torch._dynamo.utils.counters
    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
