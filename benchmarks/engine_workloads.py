"""The work that step scoring really gets, as calls of token sequences."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepscore.types import Encoded

Call = list[Encoded]
Tokenise = Callable[[str], list[int]]

SYSTEM, PROBLEM, STEP = 25, 75, 30
"""Tokens of the system message, of a problem and of a step: what GSM8K gives on average."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Calls that follow each other; the sequences of one call are known together."""

    name: str
    calls: list[Call]

    @property
    def asked(self) -> int:
        return sum(len(one.ids) for call in self.calls for one in call)

    @property
    def one_a_call(self) -> bool:
        """Whether no call has two sequences, so that whoever keeps nothing between calls is the loop."""
        return all(len(call) == 1 for call in self.calls)


class Writer:
    """Random tokens; the last id of the vocabulary is the marker that ends a step."""

    def __init__(self, vocabulary: int, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._marker = vocabulary - 1
        self._system = self._tokens(SYSTEM)

    def prompt(self) -> list[int]:
        return self._system + self._tokens(self._about(PROBLEM))

    def steps(self, count: int) -> list[int]:
        return [token for _ in range(count) for token in (*self._tokens(self._about(STEP)), self._marker)]

    def solution(self, ids: Sequence[int]) -> Encoded:
        return solution(ids, self._marker)

    def whole(self, prompt: list[int]) -> Encoded:
        """A prompt with three to seven steps."""
        return self.solution(prompt + self.steps(self._chance.randint(3, 7)))

    def pick(self, beams: list[list[int]], count: int) -> list[list[int]]:
        return self._chance.sample(beams, count)

    def _about(self, mean: int) -> int:
        return self._chance.randint(mean // 2, mean + mean // 2)

    def _tokens(self, count: int) -> list[int]:
        return [self._chance.randrange(self._marker) for _ in range(count)]


def solution(ids: Sequence[int], marker: int) -> Encoded:
    """A sequence read at each marker, closed by two tokens as chat templates close a turn."""
    reads = tuple(place for place, token in enumerate(ids) if token == marker)
    return Encoded((*ids, 0, 1), reads)


def synthetic(vocabulary: int, count: int = 64, rounds: int = 10, nodes: int = 200) -> Iterator[Workload]:
    """`count` singles, a rerank of as many candidates, a beam search and a tree search."""
    writer = Writer(vocabulary)
    yield Workload(f"{count} singles", [[writer.whole(writer.prompt()) for _ in range(count)]])
    prompt = writer.prompt()
    yield Workload(f"rerank of {count}", [[writer.whole(prompt) for _ in range(count)]])
    yield Workload(f"beam 4x4x{rounds}", list(_beam(writer, rounds)))
    yield Workload(f"tree of {nodes}", list(_tree(writer, nodes)))


def real(data: Path, tokenise: Tokenise, marker: int, count: int) -> Iterator[Workload]:
    """Reranks of four GSM8K solutions each, and ProcessBench solutions that grow step by step as in a search."""
    lines = (data / "gsm8k" / "model_solutions.jsonl").read_text(encoding="utf-8").splitlines()
    calls = [_candidates(json.loads(line), tokenise, marker) for line in _spread(lines, count)]
    yield Workload(f"GSM8K: {count} reranks of 4", calls)
    solved = json.loads((data / "processbench" / "math.json").read_text(encoding="utf-8"))
    grown = [call for item in _spread(solved, count // 2) for call in _growing(item, tokenise, marker)]
    yield Workload(f"ProcessBench: {len(grown)} calls step by step", grown)


def _beam(writer: Writer, rounds: int) -> Iterator[Call]:
    beams = [writer.prompt()]
    for _ in range(rounds):
        beams = [beam + writer.steps(1) for beam in beams for _ in range(16 // len(beams))]
        yield [writer.solution(beam) for beam in beams]
        beams = writer.pick(beams, 4)


def _tree(writer: Writer, nodes: int) -> Iterator[Call]:
    known = [writer.prompt()]
    for _ in range(nodes):
        known.append(writer.pick(known[-20:], 1)[0] + writer.steps(1))
        yield [writer.solution(known[-1])]


def _candidates(item: dict[str, object], tokenise: Tokenise, marker: int) -> Call:
    prompt = tokenise(f"Problem: {item['question']}\n")
    answers = [value["solution"] for value in item.values() if isinstance(value, dict) and "solution" in value]
    return [solution(prompt + _steps(str(answer).splitlines(), tokenise, marker), marker) for answer in answers]


def _growing(item: dict[str, list[str]], tokenise: Tokenise, marker: int) -> Iterator[Call]:
    prompt = tokenise(f"Problem: {item['problem']}\n")
    for count in range(1, len(item["steps"]) + 1):
        yield [solution(prompt + _steps(item["steps"][:count], tokenise, marker), marker)]


def _steps(steps: Sequence[str], tokenise: Tokenise, marker: int) -> list[int]:
    return [token for step in steps if step.strip() for token in (*tokenise(step), marker)]


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    return [items[len(items) * place // count] for place in range(count)]
