"""What an error of PyTorch means: less memory, one call that was refused, or a device that is lost."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.exc import InternalTorchDynamoError

from stepscore.engine.torch.failures import engine_error, errors_of_loading
from stepscore.errors import EngineDead, EngineError, NotEnoughMemory, OutOfMemory

NO_MEMORY = [
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA driver error: out of memory",
    "Triton Error [CUDA]: out of memory",
    "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
]
REFUSED = [
    "CUDA error: invalid configuration argument",
    "CUDA error: operation not permitted when stream is capturing",
    "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx( handle, opa, opb)`",
    "shapes do not match",
]
LOST = [
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: unspecified launch failure",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle)`",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: device-side assert triggered",
]


@pytest.mark.parametrize("reason", NO_MEMORY)
def test_memory_that_lacks_past_pytorchs_allocator_is_tried_again_with_less(reason: str) -> None:
    assert type(engine_error(RuntimeError(reason), 8)) is OutOfMemory
    with pytest.raises(NotEnoughMemory, match="m does not fit into memory"), errors_of_loading("m"):
        raise RuntimeError(reason)


@pytest.mark.parametrize("reason", REFUSED)
def test_a_call_that_was_refused_leaves_the_engine_alive(reason: str) -> None:
    assert type(engine_error(RuntimeError(reason), 8)) is EngineError
    with pytest.raises(RuntimeError, match=reason[:20]), errors_of_loading("m"):
        raise RuntimeError(reason)


@pytest.mark.parametrize("reason", LOST)
def test_a_device_that_is_lost_is_not_tried_again(reason: str) -> None:
    assert type(engine_error(RuntimeError(reason), 8)) is EngineDead
    with pytest.raises(EngineDead, match="m cannot be loaded"), errors_of_loading("m"):
        raise RuntimeError(reason)


def test_layers_that_cannot_be_compiled_say_how_to_do_without() -> None:
    found = engine_error(InternalTorchDynamoError("InvalidCxxCompiler: No working C++ compiler found\nmore"), 8)
    assert type(found) is EngineError
    assert "No working C++ compiler found; install" in found.message
    assert "--compile off" in found.message
    assert "more" not in found.message


def test_the_allocators_own_error_counts_whatever_it_says() -> None:
    assert type(engine_error(torch.OutOfMemoryError("Tried to allocate 2 GiB."), 8)) is OutOfMemory
