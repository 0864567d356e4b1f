"""Prompts that were read before: keys and values of what a new prompt begins with are not computed again.

In a search every prompt is an earlier one and the step that was sampled after it. Shape suffixes: see `key_values`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from stepscore.generate.key_values import ReadPrompt
from stepscore.types import Ids


class PrefixCache:
    """Read prompts, the ones that were used longest ago dropped first. max_bytes: of their tensors."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._read: OrderedDict[Ids, ReadPrompt] = OrderedDict()
        self._in_order: list[Ids] = []

    def get(self, ids: Ids) -> ReadPrompt | None:
        """The prompt itself, if it was read to its end."""
        found = self._read.get(ids)
        if found is None or found.logits is None:
            return None
        self._read.move_to_end(ids)
        return found

    def longest(self, ids: Ids) -> ReadPrompt | None:
        """The keys of the longest known beginning of `ids` that leaves a token to read; None if nothing is known.

        Of all that is known, what shares most with `ids` stands next to it in lexicographic order.
        """
        place = bisect_left(self._in_order, ids)
        beside = self._in_order[max(place - 1, 0) : place + 1]
        if not beside:
            return None
        shared, best = max((common(ids, each), each) for each in beside)
        self._read.move_to_end(best)
        shared = min(shared, len(ids) - 1)
        return self._read[best].until(shared) if shared else None

    def add(self, prompt: ReadPrompt) -> None:
        """Keep a prompt. Nothing is dropped before `trim`."""
        old = self._read.pop(prompt.ids, None)
        if old is None:
            insort(self._in_order, prompt.ids)
        else:
            self._bytes -= old.bytes
        self._read[prompt.ids] = prompt
        self._bytes += prompt.bytes

    def trim(self) -> None:
        """Drop what exceeds the limit."""
        while self._bytes > self._max_bytes and self._read:
            ids, prompt = self._read.popitem(last=False)
            self._bytes -= prompt.bytes
            del self._in_order[bisect_left(self._in_order, ids)]


def waves(prompts: Iterable[Ids]) -> list[list[Ids]]:
    """The prompts and everything that several of them begin with, by how many of these beginnings come before.

    If each wave is read after the one before it, no token that prompts share is read twice.
    """
    found: list[list[Ids]] = []
    _branch(sorted(set(prompts)), 0, 0, found)
    return found


def _branch(prompts: Sequence[Ids], begin: int, depth: int, found: list[list[Ids]]) -> None:
    """prompts: sorted, with their first `begin` ids in common."""
    for alike in _by_token(prompts, begin):
        end = common(alike[0], alike[-1])
        if depth == len(found):
            found.append([])
        found[depth].append(alike[0][:end])
        rest = alike[1:] if len(alike[0]) == end else alike
        if rest:
            _branch(rest, end, depth + 1, found)


def _by_token(prompts: Sequence[Ids], place: int) -> list[Sequence[Ids]]:
    """Runs of prompts with the same id at a place."""
    starts = [n for n in range(len(prompts)) if n == 0 or prompts[n][place] != prompts[n - 1][place]]
    return [prompts[start:end] for start, end in zip(starts, [*starts[1:], len(prompts)], strict=True)]


def common(one: Ids, other: Ids) -> int:
    """How many ids two prompts share at their start."""
    shorter = min(len(one), len(other))
    return next((n for n in range(shorter) if one[n] != other[n]), shorter)
