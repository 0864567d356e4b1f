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
    """Keys and values by slot, for one model: a tensor (slots + scratch, 2, G, E) for each layer.

    Scratch slots come after the cache's own. They hold rows that are not kept, for the time of one forward.
    layers: keys, then values, of every slot; another tuple as soon as there is more scratch.
    """

    def __init__(
        self, architecture: Architecture, slots: int, device: torch.device, dtype: torch.dtype, scratch: int = 0
    ) -> None:
        self.slots = slots
        self._shape = (2, architecture.key_heads, architecture.head_width)
        self.layers = tuple(
            torch.empty((slots + scratch, *self._shape), device=device, dtype=dtype) for _ in range(architecture.layers)
        )

    @property
    def scratch(self) -> int:
        return min(len(layer) for layer in self.layers) - self.slots

    def reserve(self, rows: int) -> None:
        """Make room for so many scratch rows. More than ever before costs a copy of the pool, layer by layer."""
        if rows <= self.scratch:
            return
        layers, self.layers = list(self.layers), ()
        try:
            for number, old in enumerate(layers):
                if len(old) < self.slots + rows:
                    new = old.new_empty((self.slots + rows, *self._shape))
                    new[: self.slots] = old[: self.slots]
                    layers[number] = new
        finally:  # out of memory on the way: what has grown so far stays
            self.layers = tuple(layers)


def bytes_per_token(architecture: Architecture, dtype: torch.dtype) -> int:
    """Keys and values of one token over all layers."""
    return 2 * architecture.layers * architecture.key_heads * architecture.head_width * dtype.itemsize
