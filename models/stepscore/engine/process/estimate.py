"""What a sequence is expected to cost in another process, without asking it."""

from __future__ import annotations

import threading

import numpy as np

from stepscore.engine.torch.kv_pool import SlotPool
from stepscore.engine.torch.radix import RadixTree
from stepscore.engine.torch.tree_plan import TreePlan, tree_cost
from stepscore.types import Encoded


class KnownPrefixes:
    """A radix tree of what an engine was seen to compute. capacity: tokens that the engine can keep.

    An estimate: what the engine evicts, and when, is its own affair. May be called from any thread.
    """

    def __init__(self, capacity: int) -> None:
        self._tree = RadixTree(SlotPool(capacity))
        self._lock = threading.Lock()

    def cost(self, encoded: Encoded) -> int:
        """Tokens that the engine would compute now."""
        with self._lock:
            return tree_cost(self._tree, encoded)

    def add(self, encoded: Encoded, left: int = 0) -> None:
        """The engine has computed the sequence but for `left` tokens."""
        with self._lock:
            new = tree_cost(self._tree, encoded) - left
            if new <= 0:
                return
            plan = TreePlan(self._tree)
            if left:
                plan.add_part(encoded, new)
            else:
                plan.add(encoded)
            plan.commit()
            plan.finish(np.zeros((len(encoded.reads), 1), dtype=np.float32))

    def clear(self) -> None:
        with self._lock:
            self._tree.clear()
