"""Frozen configurations: what a checkpoint says about itself and how an engine is to run it. No torch here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from stepscore.errors import CheckpointError, InvalidOption

Device = Literal["auto", "cpu", "cuda"]
DType = Literal["auto", "float32", "bfloat16"]
Mode = Literal["fast", "invariant", "reference"]
Quantize = Literal["none", "int8", "fp8"]
Compile = Literal["auto", "on", "off"]
CudaGraphs = Literal["auto", "on", "off"]

DTYPE_ALIASES = {"fp32": "float32", "bf16": "bfloat16"}

AUTO_KV_CACHE = -1

AUTO_DTYPE = "auto is bfloat16 on CUDA and on CPUs with bfloat16 units, float32 on other CPUs"
CPU_BFLOAT16 = "STEPSCORE_CPU_BFLOAT16"
"""A switch for tests: this environment variable, 0 or 1, replaces the look at the CPU's flags."""


def cache_folder() -> Path:
    """What is prepared once is kept here: $XDG_CACHE_HOME/stepscore, else ~/.cache/stepscore.

    Raises CheckpointError if the variable is not set and the user has no home, as in a container under any user id.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache") / "stepscore"
    except RuntimeError as error:
        raise CheckpointError("this user has no home folder: set XDG_CACHE_HOME to a folder for caches") from error


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What can be known about a checkpoint without loading a weight.

    path: the local folder.
    name: the Hub id it was asked for by, or the folder's name.
    config: the content of config.json.
    shapes: every tensor's name and shape, over all shards.
    revision: a digest of config and weights, or the Hub commit: the same revision and dtype give the same rewards.
    """

    path: Path
    name: str
    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    revision: str

    @property
    def architectures(self) -> tuple[str, ...]:
        return tuple(self.config.get("architectures") or ())

    @property
    def max_tokens(self) -> int:
        """Positions that the model was built for (`max_position_embeddings`)."""
        return int(self.config["max_position_embeddings"])


CHOICES: Mapping[str, Any] = {
    "device": Device,
    "dtype": DType,
    "mode": Mode,
    "quantize": Quantize,
    "compile": Compile,
    "cuda_graphs": CudaGraphs,
}
"""The values that an option of this name may have."""


LEAST: Mapping[str, int] = {
    "max_batch_tokens": 0,
    "max_tokens": 0,
    "threads": 0,
    "kv_cache_bytes": AUTO_KV_CACHE,
    "tensor_parallel_size": 1,
}
"""The smallest value of each whole number."""

MOST_THREADS = 1024
"""Some thousand threads end PyTorch with a segmentation fault."""

MOST_BATCH_TOKENS = 1 << 20
"""A GPU reserves keys and values for a whole forward."""

MOST: Mapping[str, int] = {"threads": MOST_THREADS, "max_batch_tokens": MOST_BATCH_TOKENS}
"""The largest value of a whole number, if it has one."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine runs. Sizes are in tokens unless the name says bytes.

    Raises InvalidOption for a device, dtype, mode, compile, cuda_graphs or quantize that does not exist, for sizes that
    are not whole numbers, too small or too large (`LEAST`, `MOST`), and for a max_quantize_error that is not above 0.

    dtype: number format of the forward; auto is bfloat16 on CUDA and on CPUs with bfloat16 units, float32 on other
        CPUs.
    mode: `fast` shares prefixes inside and across calls; `invariant` packs but shares nothing, so a score is bitwise
        independent of its company; `reference` runs plain transformers, one sequence at a time.
    max_batch_tokens: the size of a forward; 0 lets the engine choose for its device.
    kv_cache_bytes: budget of the prefix cache across calls; 0 turns it off. -1 lets the engine choose: 1 GiB on CPU, on
        CUDA half of what is free after loading.
    compile: whether the layers' elementwise functions are fused (torch.compile); auto does it on CUDA. Mode fast only.
    cuda_graphs: whether small forwards are recorded and launched whole; auto does it on CUDA in bfloat16. Mode fast
        only.
    max_tokens: longest sequence accepted; 0 takes the checkpoint's own limit.
    threads: CPU threads of the forward; 0 takes torch's default.
    reference_model: folder of the reference model, for implicit PRMs.
    tensor_parallel_size: GPUs that vLLM spreads the model over, in this process; the torch engine knows 1 only.
    quantize: 8-bit weights of the decoder, on CUDA only: "int8" to save memory, "fp8" to save time.
    max_quantize_error: by how much that may move a reward of the probe set; beyond it the model is not opened.
    generator: what a judge generates with: "" the checkpoint itself in transformers, "openai:URL" or "openai:URL#MODEL"
        a server that serves it, "vllm" vLLM in process.
    """

    device: Device = "auto"
    dtype: DType = "auto"
    mode: Mode = "fast"
    max_batch_tokens: int = 0
    kv_cache_bytes: int = AUTO_KV_CACHE
    compile: Compile = "auto"
    cuda_graphs: CudaGraphs = "auto"
    max_tokens: int = 0
    threads: int = 0
    reference_model: Path | None = None
    tensor_parallel_size: int = 1
    generator: str = ""
    quantize: Quantize = "none"
    max_quantize_error: float = 0.05

    def __post_init__(self) -> None:
        if isinstance(self.dtype, str):
            object.__setattr__(self, "dtype", DTYPE_ALIASES.get(self.dtype, self.dtype))
        for name, choices in CHOICES.items():
            value, known = getattr(self, name), get_args(choices)
            if value not in known:
                message = f"no {name} is called {value!r}; there are {', '.join(known)}"
                raise InvalidOption(message, option=name, known=list(known))
        for name, least in LEAST.items():
            check_count(name, getattr(self, name), least)
        for name, most in MOST.items():
            if (value := getattr(self, name)) > most:
                raise InvalidOption(f"{name} is {value}; it cannot be above {most}", option=name, known=[])
        self._check_quantize_error()

    def _check_quantize_error(self) -> None:
        error: object = self.max_quantize_error
        if isinstance(error, bool) or not (isinstance(error, int | float) and error > 0):
            message = f"max_quantize_error is {error!r}; it must be a number above 0"
            raise InvalidOption(message, option="max_quantize_error", known=[])


def check_count(name: str, value: object, least: int) -> None:
    """Raises InvalidOption if the option of that name is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidOption(f"{name} is {value!r}; it must be a whole number", option=name, known=[])
    if value < least:
        raise InvalidOption(f"{name} is {value}; it cannot be below {least}", option=name, known=[])
