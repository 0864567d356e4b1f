"""What a failed forward means: try with less, try each alone, or never again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._dynamo.exc import TorchDynamoException

from stepscore.errors import EngineDead, EngineError, NotEnoughMemory, OutOfMemory

NO_MEMORY = re.compile(r"out of memory|can't allocate memory|_ALLOC_FAILED", re.IGNORECASE)
"""Also what libraries say that take memory past PyTorch's allocator: cuBLAS, pinned memory, Triton."""

STICKY = ("CUDA error", "device-side assert", "CUBLAS_STATUS_NOT_INITIALIZED")
"""After these the CUDA context of the process is lost: every later call fails too."""

REFUSED = (
    "invalid argument",
    "invalid configuration argument",
    "too many resources requested",
    "stream is capturing",
    "CUBLAS_STATUS_NOT_SUPPORTED",
    "CUBLAS_STATUS_INVALID_VALUE",
)
"""CUDA errors of one call that was not started: the device is unharmed, and other forwards work."""


def lacks_memory(error: BaseException) -> bool:
    """Whether it would not have happened with more memory."""
    return isinstance(error, torch.OutOfMemoryError) or bool(NO_MEMORY.search(first_line(error)))


def lost_device(error: BaseException) -> bool:
    """Whether no call of this process will reach the device any more."""
    reason = first_line(error)
    return any(sign in reason for sign in STICKY) and not any(sign in reason for sign in REFUSED)


def engine_error(error: RuntimeError, tokens: int) -> EngineError:
    """The error of a forward over so many tokens."""
    reason = first_line(error)
    if lacks_memory(error):
        return OutOfMemory(f"a forward of {tokens} tokens does not fit into memory: {reason}", tokens=tokens)
    if lost_device(error):
        return EngineDead(f"the device failed for good: {reason}")
    if isinstance(error, TorchDynamoException):
        return EngineError(
            f"the layers cannot be compiled: {reason}; install what that lacks (on a GPU a C compiler, on a CPU one of "
            "C++), or choose --compile off"
        )
    return EngineError(f"the forward pass failed: {error}", tokens=tokens)


@contextmanager
def errors_of_loading(name: str) -> Iterator[None]:
    """Raises NotEnoughMemory or EngineDead in the place of what PyTorch raises while a model of that name is loaded."""
    try:
        yield
    except RuntimeError as error:
        reason = first_line(error)
        if lacks_memory(error):
            raise NotEnoughMemory(
                f"{name} does not fit into memory: {reason}; give it more memory, a smaller --kv-cache-bytes or "
                "--max-batch-tokens, or end what else runs there"
            ) from error
        if lost_device(error):
            raise EngineDead(f"{name} cannot be loaded, since the device failed: {reason}") from error
        raise


def first_line(error: BaseException) -> str:
    return str(error).split("\n")[0]
