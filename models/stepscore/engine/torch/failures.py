"""What a failed forward means: try with less, or never again."""

from __future__ import annotations

import torch

from stepscore.errors import EngineDead, EngineError, OutOfMemory

STICKY = ("CUDA error", "device-side assert", "CUBLAS_STATUS_NOT_INITIALIZED")
"""After these the CUDA context of the process is lost: every later call fails too."""


def engine_error(error: RuntimeError, tokens: int) -> EngineError:
    """The error of a forward over so many tokens."""
    reason = str(error).split("\n")[0]
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in reason:
        return OutOfMemory(f"a forward of {tokens} tokens does not fit into memory: {reason}", tokens=tokens)
    if any(sign in reason for sign in STICKY):
        return EngineDead(f"the device failed for good: {reason}")
    return EngineError(f"the forward pass failed: {error}", tokens=tokens)
