"""Compiled layers: fewer passes over memory for the same products, one graph for every number of rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import signature
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch._inductor import config as inductor
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from stepscore.config import Compile, Mode, cache_folder
from stepscore.errors import CheckpointError, UnsupportedByEngine

INDUCTOR_CACHE = "TORCHINDUCTOR_CACHE_DIR"

CHECKS = ("size_asserts", "alignment_asserts", "scalar_asserts")
"""Inductor's checks inside of what it compiles."""

GRAPHS = 128
"""Of one function in a process: one for each architecture and dtype that is opened. PyTorch refuses the ninth."""

MANY_ROWS = 128
"""Of fewer rows a norm or a rotation takes less time than a call of what was compiled of it, about 50 us."""

Parameters = ParamSpec("Parameters")
ResultT = TypeVar("ResultT")


def compiled(function: Callable[Parameters, ResultT]) -> Callable[Parameters, ResultT]:
    """The function, compiled once. The first dimension of its tensors may be anything from 2 on, but not a vector's.

    Raises torch's error if it cannot be one graph.
    """
    fast = cast(
        "Callable[Parameters, ResultT]", torch.compile(function, fullgraph=True, options=unchecked(), **many_graphs())
    )
    marked = False

    def call(*arguments: Parameters.args, **named: Parameters.kwargs) -> ResultT:
        nonlocal marked
        if not marked:  # it costs the host as much as a launch, and what was compiled takes tensors without marks
            marked = True
            for each in arguments:
                if isinstance(each, torch.Tensor) and each.ndim > 1:
                    torch._dynamo.mark_dynamic(each, 0)
        return fast(*arguments, **named)

    return call


def compiled_for_many_rows(function: Callable[Parameters, ResultT]) -> Callable[Parameters, ResultT]:
    """A function of rows, the first argument: compiled for `MANY_ROWS` and more, as written for fewer."""
    fast = compiled(function)

    def call(*arguments: Parameters.args, **named: Parameters.kwargs) -> ResultT:
        rows = cast("torch.Tensor", arguments[0])
        return (fast if len(rows) >= MANY_ROWS else function)(*arguments, **named)

    return call


def unchecked() -> dict[str, Any]:
    """Options of Inductor that this PyTorch has: sizes are checked before each call, and not once more inside."""
    return {name: False for name in CHECKS if hasattr(inductor, name)}


def many_graphs() -> dict[str, Any]:
    """The limit of graphs, if this PyTorch takes one beside its own for the whole process."""
    return {"recompile_limit": GRAPHS} if "recompile_limit" in signature(torch.compile).parameters else {}


def compiles(wanted: Compile, mode: Mode, device: torch.device) -> bool:
    """Whether layers are compiled: auto does it on CUDA. Raises UnsupportedByEngine for `on` outside mode fast."""
    if wanted == "on" and mode != "fast":
        raise UnsupportedByEngine(
            f"compile=on is refused: mode {mode} promises numbers that do not depend on compiled code", engine="torch"
        )
    return wanted == "on" or (wanted == "auto" and mode == "fast" and device.type == "cuda")


def check_compiler(device: torch.device) -> None:
    """Raises UnsupportedByEngine if what is compiled for a CPU finds no C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    if device.type != "cpu":
        return
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise UnsupportedByEngine(
            "compile is refused: on a CPU it needs a C++ compiler; install g++, or name one in CXX", engine="torch"
        ) from error


def keep_compiled() -> None:
    """Keep what is compiled in our cache folder, so that later starts take it from there.

    A folder that the environment names is used instead. If ours cannot be written, torch's default is.
    """
    # transformers imports torch._dynamo, which writes torch's default into the environment.
    if os.environ.get(INDUCTOR_CACHE, default_cache_dir()) != default_cache_dir():
        return
    try:
        folder = cache_folder() / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
    except (CheckpointError, OSError):  # a read-only home, or none, is no reason not to serve
        return
    if os.access(folder, os.W_OK):
        os.environ[INDUCTOR_CACHE] = str(folder)


def graphs() -> tuple[int, int]:
    """How many graphs this process has compiled, and how often a graph was broken."""
    counters: Any = torch._dynamo.utils.counters
    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
