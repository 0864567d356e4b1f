"""Keys and values kept across calls: token-granular slots under a byte budget."""

from __future__ import annotations

import numpy as np
import torch

from stepscore.engine.torch.architecture import Architecture
from stepscore.engine.torch.packing import Indices


class SlotPool:
    """Which slots are free. The last given back is the first taken, so that memory once touched is used again."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._free: Indices = np.arange(capacity - 1, -1, -1, dtype=np.int64)
        self._count = capacity

    @property
    def available(self) -> int:
        return self._count

    @property
    def used(self) -> int:
        return self.capacity - self._count

    def allocate(self, count: int) -> Indices | None:
        """`count` slots, or None if there are fewer."""
        if count > self._count:
            return None
        self._count -= count
        return self._free[self._count : self._count + count][::-1].copy()

    def free(self, slots: Indices) -> None:
        self._free[self._count : self._count + len(slots)] = slots[::-1]
        self._count += len(slots)


class KVPool:
    """The tensors behind the slots, for one model: per layer keys and values (slots, G, E)."""

    def __init__(self, architecture: Architecture, slots: int, device: torch.device, dtype: torch.dtype) -> None:
        shape = (architecture.layers, slots, architecture.key_heads, architecture.head_width)
        self._keys = torch.empty(shape, device=device, dtype=dtype)
        self._values = torch.empty(shape, device=device, dtype=dtype)

    def layer(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._keys[number], self._values[number]


def bytes_per_token(architecture: Architecture, dtype: torch.dtype) -> int:
    """Keys and values of one token over all layers."""
    return 2 * architecture.layers * architecture.key_heads * architecture.head_width * dtype.itemsize
