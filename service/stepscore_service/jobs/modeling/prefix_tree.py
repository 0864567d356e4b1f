"""Solutions of one problem in one row, which holds their common beginnings once.

Corrupted steps and other labels of many continuations of one prefix repeat most of their tokens. A row is a tree: every
token sees those on the way to it, and no others; its position is its depth.
Shape suffixes: R rows, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from stepscore_service.jobs.modeling.example import Example

ExampleRow = tuple[Example, ...]
"""What stands together in a row: solutions of one problem, or one solution."""


def rows_of(examples: Iterable[Example], limit: int) -> Iterator[ExampleRow]:
    """Solutions that follow each other and are of one problem, in trees of up to `limit` tokens, a longer one alone."""
    for _, group in groupby(examples, key=lambda example: example.problem):
        row: list[Example] = []
        tree = PrefixTree()
        for example in sorted(group, key=lambda example: example.ids.tolist()):
            if row and tree.size + tree.new_tokens(example) > limit:
                yield tuple(row)
                row, tree = [], PrefixTree()
            tree.add(example)
            row.append(example)
        yield tuple(row)


@dataclass(slots=True)
class PrefixTree:
    """The tokens of a row. places: for each solution that was added, the row's index of each of its tokens."""

    size: int = 0
    places: list[NDArray[np.int64]] = field(default_factory=list)
    _ids: list[NDArray[np.int32]] = field(default_factory=list)

    def new_tokens(self, example: Example) -> int:
        return len(example.ids) - self._longest(example)[0]

    def add(self, example: Example) -> None:
        shared, source = self._longest(example)
        known = self.places[source][:shared] if shared else np.zeros(0, np.int64)
        new = np.arange(self.size, self.size + len(example.ids) - shared)
        self.places.append(np.concatenate([known, new]))
        self._ids.append(example.ids)
        self.size += len(new)

    def tokens(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Ids (T,), depths (T,), and what each token sees (T, T)."""
        ids, depths = np.zeros(self.size, np.int64), np.zeros(self.size, np.int64)
        sees = np.zeros((self.size, self.size), np.bool_)
        for places, own in zip(self.places, self._ids, strict=True):
            ids[places] = own
            depths[places] = np.arange(len(own))
            sees[np.ix_(places, places)] = np.tri(len(own), dtype=np.bool_)
        return ids, depths, sees

    def _longest(self, example: Example) -> tuple[int, int]:
        """How many first tokens are known, and from which solution."""
        shared = [_common(example.ids, ids) for ids in self._ids]
        return max(((length, number) for number, length in enumerate(shared)), default=(0, 0))


def tree_of(row: Sequence[Example]) -> PrefixTree:
    tree = PrefixTree()
    for example in row:
        tree.add(example)
    return tree


def _common(one: NDArray[np.int32], other: NDArray[np.int32]) -> int:
    length = min(len(one), len(other))
    different = np.flatnonzero(one[:length] != other[:length])
    return int(different[0]) if len(different) else length
