"""Opening a generator by its address."""

from __future__ import annotations

import os
from pathlib import Path

from stepscore.config import Device, DType
from stepscore.errors import CheckpointError
from stepscore.generate.protocol import Generator
from stepscore.placement import Placement, check_tensor_parallel, place

API_KEY = "OPENAI_API_KEY"


def open_generator(
    address: str,
    path: Path,
    *,
    model: str,
    device: Device = "auto",
    dtype: DType = "auto",
    max_tokens: int = 0,
    longest: int,
    tensor_parallel_size: int = 1,
) -> Generator:
    """The generator at an address.

    address: "" runs the checkpoint in `path` with transformers, "vllm" with vLLM, and "openai:URL" or
    "openai:URL#NAME" asks the server at URL (…/v1) for the model NAME, by default `model`; the key, if the server
    wants one, comes from the environment variable OPENAI_API_KEY.
    device, dtype: of what runs in this process. max_tokens: longest prompt and completion together; 0 takes `longest`.
    tensor_parallel_size: GPUs that vLLM spreads the checkpoint over; nothing else takes more than 1.
    Raises CheckpointError for any other address and for a checkpoint that cannot be opened, UnsupportedByEngine if the
    generator does not use so many GPUs.
    """
    check_tensor_parallel(tensor_parallel_size, address or "transformers")
    kind, _, url = address.partition(":")
    if not address:
        from stepscore.generate.transformers import open_transformers  # each backend only if it is used

        placement = place(device, dtype, max_tokens, longest)
        return open_transformers(path, placement.device, placement.dtype, placement.max_tokens)
    if kind == "openai" and url:
        from stepscore.generate.openai import OpenAIGenerator

        server, _, name = url.partition("#")
        return OpenAIGenerator(
            server, name or model, max_tokens=max_tokens or longest, api_key=os.environ.get(API_KEY, "")
        )
    if address == "vllm":
        return _open_vllm(path, place(device, dtype, max_tokens, longest), tensor_parallel_size)
    raise CheckpointError(f'{address!r} is not a generator; there are "", openai:URL and vllm', generator=address)


def _open_vllm(path: Path, placement: Placement, gpus: int) -> Generator:
    try:
        from stepscore.generate.vllm import VllmGenerator
    except ImportError as error:
        raise CheckpointError("vLLM is not installed; install stepscore[vllm]", generator="vllm") from error
    return VllmGenerator(
        str(path), dtype=placement.dtype_name, max_model_len=placement.max_tokens, tensor_parallel_size=gpus
    )
