"""Whether a problem of a test set is among the problems trained on, as the same text or nearly so.

Found: other signs, white space and letters (accents, digits of full width, invisible characters), sentences that are
added or left out, long sentences in another order, and the same story with other names and numbers. Not found: the same
story in other words, short sentences in another order, and a template of which the nouns are changed too.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

GRAM = 6
NEAR = 0.5
"""The share of a test problem's 6-grams that one training problem may hold."""
TELLING = 4
"""A 6-gram without names and numbers counts if it has so many different words; others stand in any two problems."""
NAME, NUMBER = "@", "0"

_WORD = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|[^\W\d_]+")
_NUMBERS = re.compile(
    r"(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    r"|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand)"
)
_PERSONS = {"she": "he", "her": "his", "hers": "his", "him": "his", "herself": "himself"}

Gram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """overlap: the share of the test problem's 6-grams that stand in the training problem; 1 for the same text.

    retold: found when names and numbers are left out of both alone.
    """

    test: str
    trained: str
    overlap: float
    retold: bool = False


def words(text: str) -> Gram:
    """Lower-case words and numbers, without signs, accents, white space, and commas in numbers."""
    return tuple(_plain(word) for word in _WORD.findall(_folded(text)))


def grams(found: Sequence[str]) -> frozenset[Gram]:
    """Runs of six words; a shorter text is one run."""
    return frozenset(tuple(found[start : start + GRAM]) for start in range(max(1, len(found) - GRAM + 1)))


class Scan:
    """The problems that are trained on, by their 6-grams."""

    def __init__(self, trained: Iterable[str]) -> None:
        self._texts = list(dict.fromkeys(trained))
        self._lower = {word for text in self._texts for word in _WORD.findall(_folded(text)) if word[0].islower()}
        self._same = _index(map(_same_grams, self._texts))
        self._retold = _index(map(self._retold_grams, self._texts))

    def near(self, test: str, near: float = NEAR) -> list[Hit]:
        """The training problems that hold more than `near` of a test problem's 6-grams.

        The closest first, and those last that hold them without names and numbers alone.
        """
        same = _hits(test, self._texts, self._same, _same_grams(test), retold=False)
        retold = _hits(test, self._texts, self._retold, self._retold_grams(test), retold=True)
        return [hit for hit in (*same, *retold) if hit.overlap > near]

    def _retold_grams(self, text: str) -> frozenset[Gram]:
        """Without those that say little."""
        found = [self._masked(word) for word in _WORD.findall(_folded(text))]
        return frozenset(gram for gram in grams(found) if len(set(gram) - {NAME, NUMBER}) >= TELLING)

    def _masked(self, word: str) -> str:
        """A name is a word with a capital letter that nowhere stands without."""
        plain = _plain(word)
        if word[0].isdigit() or _NUMBERS.fullmatch(plain):
            return NUMBER
        if word[0].isupper() and plain not in self._lower:
            return NAME
        return _PERSONS.get(plain, plain)


def contaminated(trained: Iterable[str], tests: Iterable[str], near: float = NEAR) -> Iterator[Hit]:
    """Test problems of which a training problem holds more than `near` of the 6-grams, with the closest one."""
    scan = Scan(trained)
    for test in tests:
        yield from scan.near(test, near)[:1]


def _hits(
    test: str, trained: Sequence[str], index: Mapping[Gram, Set[int]], own: Set[Gram], *, retold: bool
) -> list[Hit]:
    """Every training problem that shares a 6-gram, the closest first."""
    shared = Counter(number for gram in own for number in index.get(gram, ()))
    return [Hit(test, trained[number], count / len(own), retold) for number, count in shared.most_common()]


def _same_grams(text: str) -> frozenset[Gram]:
    return grams(words(text))


def _index(texts: Iterable[frozenset[Gram]]) -> dict[Gram, set[int]]:
    holders: dict[Gram, set[int]] = defaultdict(set)
    for number, found in enumerate(texts):
        for gram in found:
            holders[gram].add(number)
    return holders


def _folded(text: str) -> str:
    """Without accents and invisible characters, in the plain form of every letter and digit."""
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFKD", text)
    return "".join(each for each in parts if unicodedata.category(each) not in ("Mn", "Cf"))


def _plain(word: str) -> str:
    return word.lower().replace(",", "")
