"""The work that step scoring really gets, as calls of token sequences."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from stepscore.types import Encoded

Call = list[Encoded]
Tokens = list[int]

SYSTEM, PROBLEM, STEP = 25, 75, 30
"""Tokens of the system message, of a problem and of a step: what GSM8K gives on average."""

CLOSE = (0, 1)
"""Two tokens that end a sequence, as chat templates close a turn."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Calls that follow each other; the sequences of one call are known together.

    one_problem: whether they are candidates of one problem.
    """

    name: str
    calls: list[Call]
    one_problem: bool = True

    @property
    def asked(self) -> int:
        return tokens(self.calls)

    @property
    def one_a_call(self) -> bool:
        """Whether no call has two sequences, so that whoever keeps nothing between calls is the loop."""
        return all(len(call) == 1 for call in self.calls)


@dataclass(frozen=True, slots=True)
class Sizes:
    """count: singles, and candidates of a rerank; rounds: of the beam search, 16 sequences each; nodes: of the tree."""

    count: int = 64
    rounds: int = 10
    nodes: int = 200


class Source(Protocol):
    """Where tokens come from. Steps end in the marker."""

    def group(self, size: int) -> tuple[Tokens, list[Tokens]]:
        """A prompt with `size` solutions of it (fewer where the source has no more)."""
        ...

    def step(self) -> Tokens: ...


class RandomSource:
    """Random tokens; the last id of the vocabulary is the marker that ends a step."""

    def __init__(self, vocabulary: int, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._marker = vocabulary - 1
        self._system = self._tokens(SYSTEM)

    def group(self, size: int) -> tuple[Tokens, list[Tokens]]:
        """Solutions of three to seven steps."""
        prompt = self._system + self._tokens(self._about(PROBLEM))
        return prompt, [self._answer() for _ in range(size)]

    def step(self) -> Tokens:
        return [*self._tokens(self._about(STEP)), self._marker]

    def _answer(self) -> Tokens:
        return [token for _ in range(self._chance.randint(3, 7)) for token in self.step()]

    def _about(self, mean: int) -> int:
        return self._chance.randint(mean // 2, mean + mean // 2)

    def _tokens(self, count: int) -> Tokens:
        return [self._chance.randrange(self._marker) for _ in range(count)]


def workloads(source: Source, marker: int, sizes: Sizes, label: str = "", group: int = 0) -> Iterator[Workload]:
    """Singles, reranks, a beam search and a tree search over a source.

    group: candidates of one prompt, where the source has no `sizes.count` of them; as many reranks as make that count.
    """
    count, group = sizes.count, group or sizes.count
    singles = [_solutions(source.group(1), marker)[0] for _ in range(count)]
    yield Workload(f"{label}{count} singles", [singles], one_problem=False)
    reranks = [_solutions(source.group(group), marker) for _ in range(max(1, count // group))]
    yield Workload(
        f"{label}rerank of {count}" if group == count else f"{label}{len(reranks)} reranks of {group}", reranks
    )
    yield Workload(f"{label}beam 4x4x{sizes.rounds}", list(_beam(source, marker, sizes.rounds)))
    yield Workload(f"{label}tree of {sizes.nodes}", list(_tree(source, marker, sizes.nodes)))


def read_at(ids: Sequence[int], marker: int) -> Encoded:
    """A sequence read at each marker, and closed."""
    reads = tuple(place for place, token in enumerate(ids) if token == marker)
    return Encoded((*ids, *CLOSE), reads)


def with_targets(workload: Workload) -> Workload:
    """The same reads for a head that reads the log-probability of the token that follows."""
    calls = [
        [replace(one, targets=tuple(one.ids[read + 1] for read in one.reads)) for one in call]
        for call in workload.calls
    ]
    return replace(workload, calls=calls)


def tokens(calls: Sequence[Call]) -> int:
    return sum(len(one.ids) for call in calls for one in call)


def _solutions(group: tuple[Tokens, list[Tokens]], marker: int) -> Call:
    prompt, answers = group
    return [read_at(prompt + answer, marker) for answer in answers]


def _beam(source: Source, marker: int, rounds: int) -> Iterator[Call]:
    """Sixteen sequences a round, each a step longer; four of them go on."""
    chance = random.Random(rounds)
    beams = [source.group(0)[0]]
    for _ in range(rounds):
        beams = [beam + source.step() for beam in beams for _ in range(16 // len(beams))]
        yield [read_at(beam, marker) for beam in beams]
        beams = chance.sample(beams, 4)


def _tree(source: Source, marker: int, nodes: int) -> Iterator[Call]:
    """One sequence a call: one of the last twenty, a step longer."""
    chance = random.Random(nodes)
    known = [source.group(0)[0]]
    for _ in range(nodes):
        known.append(chance.choice(known[-20:]) + source.step())
        yield [read_at(known[-1], marker)]
