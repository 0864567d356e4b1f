"""A checkpoint's tensors by name, read from mapped files; nothing is copied until an engine asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from stepscore.checkpoint import weight_files
from stepscore.errors import CheckpointError


class Weights:
    """The tensors of one checkpoint folder. Keys that were read are remembered, so that leftovers can be named."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = ExitStack()
        self._sources: dict[str, Any] = {}
        self._read: set[str] = set()
        for file in weight_files(path):
            self._open(file)

    def __contains__(self, key: str) -> bool:
        return key in self._sources

    @property
    def keys(self) -> Iterable[str]:
        return self._sources.keys()

    def get(self, key: str, shape: tuple[int, ...]) -> torch.Tensor:
        """The tensor in the file's own dtype, mapped if the format allows it.

        Raises CheckpointError if the key is missing or the shape is another (detail: key, shape, expected).
        """
        if key not in self._sources:
            raise CheckpointError(f"{self.path} lacks the tensor {key}", path=str(self.path), key=key)
        source = self._sources[key]
        tensor: torch.Tensor = source if isinstance(source, torch.Tensor) else source.get_tensor(key)
        if tuple(tensor.shape) != shape:
            raise CheckpointError(
                f"{key} in {self.path} has the shape {tuple(tensor.shape)}, not {shape}",
                path=str(self.path),
                key=key,
                shape=tuple(tensor.shape),
                expected=shape,
            )
        self._read.add(key)
        return tensor

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor that is there."""
        source = self._sources[key]
        return tuple(source.shape if isinstance(source, torch.Tensor) else source.get_slice(key).get_shape())

    def unread(self, prefix: str) -> list[str]:
        """Keys under a prefix that nobody asked for."""
        return sorted(key for key in self._sources if key.startswith(prefix) and key not in self._read)

    def close(self) -> None:
        self._sources.clear()
        self._files.close()

    def _open(self, file: Path) -> None:
        if file.suffix == ".safetensors":
            tensors = self._files.enter_context(safe_open(file, framework="pt"))
            self._sources.update(dict.fromkeys(tensors.keys(), tensors))
        else:
            state: Mapping[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            self._sources.update(state)


def backbone_prefix(weights: Weights) -> str:
    """The prefix of the decoder's own names (mostly "model."), found by its embedding. Raises CheckpointError."""
    ending = "embed_tokens.weight"
    found = sorted((key for key in weights.keys if key.endswith(ending)), key=len)
    if not found:
        raise CheckpointError(f"{weights.path} has no {ending}: no decoder that can be run", path=str(weights.path))
    return found[0].removesuffix(ending)
