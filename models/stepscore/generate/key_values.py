"""Keys and values of prompts and of completions that grow side by side.

Shape suffixes: N completions, H key-value heads, T tokens, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_BLOCK = 128
"""Tokens that a growing layer makes room for at once: one copy of all keys for so many tokens, and not one for each."""

LayerKeys = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer: (N, H, T, D) each."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadPrompt:
    """A prompt after its forward. layers: its keys and values, N = 1.

    logits: (V,) fp32 after its last token; None for a beginning that was cut or sampled.
    """

    ids: tuple[int, ...]
    layers: tuple[LayerKeys, ...]
    logits: torch.Tensor | None = None

    @property
    def bytes(self) -> int:
        """Of all its tensors."""
        logits = 0 if self.logits is None else self.logits.nbytes
        return logits + sum(part.nbytes for layer in self.layers for part in layer)

    def until(self, tokens: int) -> ReadPrompt:
        """Its first tokens; shares their keys."""
        layers = tuple((keys[:, :, :tokens], values[:, :, :tokens]) for keys, values in self.layers)
        return ReadPrompt(self.ids[:tokens], layers)


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers does not annotate its bases
    """A layer that is written in place and grows by blocks."""

    _room: LayerKeys
    _length: int

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self._take((keys, values))

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> LayerKeys:
        start, end = self._length, self._length + key_states.shape[-2]
        if end > self._room[0].shape[-2]:
            self._room = _with_room(self._room[0], end + _BLOCK), _with_room(self._room[1], end + _BLOCK)
        for room, states in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, start:end] = states
        self._length = end
        keys, values = (room[:, :, :end] for room in self._room)
        self.keys, self.values = keys, values
        return keys, values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        keys, values = (room[indices, :, : self._length] for room in self._room)
        self._take((keys, values))

    def _take(self, states: LayerKeys) -> None:
        self._room = states
        self._length = states[0].shape[-2]
        self.keys, self.values = states


def row_of(cache: DynamicCache, row: int, real_T: torch.Tensor) -> tuple[LayerKeys, ...]:
    """A copy of one completion's keys and values. real_T: bool, False at padding."""
    places = real_T.nonzero()[:, 0]
    layers: list[Any] = list(cache.layers)
    return tuple((layer.keys[row : row + 1, :, places], layer.values[row : row + 1, :, places]) for layer in layers)


def side_by_side(prompts: Sequence[ReadPrompt], copies: Sequence[int]) -> tuple[DynamicCache, torch.Tensor]:
    """A cache with each prompt once for each of its completions, and its mask (N, T): 0 at padding, in front.

    The prompts' keys are kept once in `prompts`; only the cache holds them repeatedly.
    """
    longest = max(len(prompt.ids) for prompt in prompts)
    cache = DynamicCache()
    for layer in range(len(prompts[0].layers)):
        keys, values = (
            torch.cat([_pad(prompt.layers[layer][part], longest, n) for prompt, n in zip(prompts, copies, strict=True)])
            for part in (0, 1)
        )
        cache.layers.append(RoomyLayer(keys, values))
    real = [len(prompt.ids) for prompt, n in zip(prompts, copies, strict=True) for _ in range(n)]
    return cache, in_front(longest, real)


def in_front(longest: int, real: Sequence[int]) -> torch.Tensor:
    """(N, T) of 0 at the padding before each row's real tokens, and 1 at these."""
    return (torch.arange(longest)[None] >= longest - torch.tensor(real)[:, None]).long()


def _pad(states: torch.Tensor, length: int, copies: int) -> torch.Tensor:
    padded = torch.nn.functional.pad(states, (0, 0, length - states.shape[-2], 0))
    return padded.expand(copies, -1, -1, -1)


def _with_room(states: torch.Tensor, length: int) -> torch.Tensor:
    room = states.new_empty((*states.shape[:2], length, states.shape[3]))
    room[:, :, : states.shape[-2]] = states
    return room
