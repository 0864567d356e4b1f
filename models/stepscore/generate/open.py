"""Opening a generator by its address."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from stepscore.errors import CheckpointError
from stepscore.generate.protocol import Generator

API_KEY = "OPENAI_API_KEY"


def open_generator(
    address: str,
    path: Path,
    *,
    model: str,
    device: torch.device,
    dtype: torch.dtype,
    max_tokens: int,
    tensor_parallel_size: int = 1,
) -> Generator:
    """The generator at an address.

    address: "" runs the checkpoint in `path` with transformers, "vllm" with vLLM, and "openai:URL" or
    "openai:URL#NAME" asks the server at URL (…/v1) for the model NAME, by default `model`; the key, where the server
    wants one, comes from the environment variable OPENAI_API_KEY.
    tensor_parallel_size: GPUs that vLLM spreads the checkpoint over; nothing else takes more than 1.
    Raises CheckpointError for any other address and for a checkpoint that cannot be opened.
    """
    if tensor_parallel_size > 1 and address != "vllm":
        raise CheckpointError(f"only the generator vllm spreads a model over {tensor_parallel_size} GPUs")
    kind, _, url = address.partition(":")
    if not address:
        from stepscore.generate.transformers import open_transformers  # each backend only where it is used

        return open_transformers(path, device, dtype, max_tokens)
    if kind == "openai" and url:
        from stepscore.generate.openai import OpenAIGenerator

        server, _, name = url.partition("#")
        return OpenAIGenerator(server, name or model, max_tokens=max_tokens, api_key=os.environ.get(API_KEY, ""))
    if address == "vllm":
        return _open_vllm(path, dtype, max_tokens, tensor_parallel_size)
    raise CheckpointError(f'{address!r} is not a generator; there are "", openai:URL and vllm', generator=address)


def _open_vllm(path: Path, dtype: torch.dtype, max_tokens: int, gpus: int) -> Generator:
    try:
        from stepscore.generate.vllm import VllmGenerator
    except ImportError as error:
        raise CheckpointError("vLLM is not installed; install stepscore[vllm]", generator="vllm") from error
    number = str(dtype).removeprefix("torch.")
    return VllmGenerator(str(path), dtype=number, max_model_len=max_tokens, tensor_parallel_size=gpus)
