"""Whether a problem of a test set is among the problems trained on, as the same text or nearly so."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

GRAM = 6
NEAR = 0.5
"""The share of a test problem's 6-grams that one training problem may hold."""

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """overlap: the share of the test problem's 6-grams that stand in the training problem; 1 for the same text."""

    test: str
    trained: str
    overlap: float


def words(text: str) -> tuple[str, ...]:
    """Lower-case words and numbers, without signs and white space."""
    return tuple(_WORD.findall(text.lower()))


def grams(text: str) -> frozenset[tuple[str, ...]]:
    """Runs of six words; a shorter text is one run."""
    found = words(text)
    return frozenset(found[start : start + GRAM] for start in range(max(1, len(found) - GRAM + 1)))


def contaminated(trained: Iterable[str], tests: Iterable[str], near: float = NEAR) -> Iterator[Hit]:
    """Test problems of which a training problem holds more than `near` of the 6-grams, with the closest one."""
    holders: dict[tuple[str, ...], set[int]] = defaultdict(set)
    texts = list(dict.fromkeys(trained))
    for number, text in enumerate(texts):
        for gram in grams(text):
            holders[gram].add(number)
    for test in tests:
        shared: dict[int, int] = defaultdict(int)
        own = grams(test)
        for gram in own:
            for number in holders.get(gram, ()):
                shared[number] += 1
        closest = max(shared, key=lambda number: shared[number], default=None)
        if closest is not None and shared[closest] / len(own) > near:
            yield Hit(test, texts[closest], shared[closest] / len(own))
