"""Texts that were tokenised before, under a budget of bytes."""

from __future__ import annotations

import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

ENTRY_BYTES = 400
"""What an entry takes besides its text and numbers: two arrays' heads, the objects around them, a place in the dict."""
LARGEST_SHARE = 8
"""A text that would take more than this part of the budget is not kept, so that it cannot drive out all others."""

Key = tuple[bool, str]
"""Whether the text opens a sequence, and the text."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of a text and, for each, the character offset at which it ends."""

    ids: array[int]
    ends: array[int]

    @classmethod
    def of(cls, ids: Sequence[int], ends: Sequence[int]) -> Tokens:
        return cls(array("i", ids), array("i", ends))


class TokenCache:
    """The texts used last. May be asked from several threads. budget: bytes; 0 keeps nothing."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self._kept: OrderedDict[Key, Tokens] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[TokenCache], tuple[int]]:
        """A copy in another process starts empty."""
        return TokenCache, (self.budget,)

    def get(self, key: Key) -> Tokens | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: Key, tokens: Tokens) -> None:
        size = _size(key, tokens)
        if size * LARGEST_SHARE > self.budget:
            return
        with self._lock:
            if key not in self._kept:
                self._kept[key] = tokens
                self.used += size
            while self.used > self.budget:
                self.used -= _size(*self._kept.popitem(last=False))


def _size(key: Key, tokens: Tokens) -> int:
    numbers = (len(tokens.ids) + len(tokens.ends)) * tokens.ids.itemsize
    return ENTRY_BYTES + sys.getsizeof(key[1]) + numbers
