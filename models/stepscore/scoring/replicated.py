"""Several engines over one checkpoint, each in a process of its own, behind one scorer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from itertools import accumulate

from stepscore.engine.process.engine import ProcessEngine
from stepscore.engine.protocol import TokenCounts, Work
from stepscore.errors import StepscoreError
from stepscore.family.registry import Parts
from stepscore.scoring.protocol import ModelInfo, OneOrMany
from stepscore.scoring.scorer import Scorer
from stepscore.types import EncodedSolution, Reading, Solution


class ReplicaScorer(Scorer):
    """One of several scorers of the same checkpoint; they share the layout and its tokenizer."""

    def __init__(self, info: ModelInfo, parts: Parts, engine: ProcessEngine) -> None:
        super().__init__(info, parts, engine)
        self._process = engine

    @property
    def pid(self) -> int:
        return self._process.pid

    def fault(self) -> str | None:
        """Why it will not score any more; None while its process runs."""
        return self._process.fault()

    def again(self) -> ReplicaScorer:
        """The same scorer over a new process."""
        return ReplicaScorer(self.info, self._parts, self._process.again())

    def kill(self) -> None:
        """End its process at once; a forward that hangs there fails with EngineDead."""
        self._process.kill()

    def abandon(self) -> None:
        """End its process at once, and one that is being opened in its place."""
        self._process.abandon()


class ReplicatedScorer(OneOrMany):
    """Scores on all replicas at once. A service puts a batcher in front of each of `replicas` instead."""

    def __init__(self, replicas: Sequence[ReplicaScorer]) -> None:
        self.replicas = list(replicas)
        self._past = TokenCounts(0, 0)
        self._threads = ThreadPoolExecutor(len(replicas), thread_name_prefix="replica")

    @property
    def info(self) -> ModelInfo:
        return self.replicas[0].info

    @info.setter
    def info(self, info: ModelInfo) -> None:
        for replica in self.replicas:
            replica.info = info

    def encode(self, solution: Solution) -> EncodedSolution:
        """Token ids and read positions. Raises InvalidInput; TooLong says by how many tokens."""
        return self.replicas[0].encode(solution)

    def cost(self, encoded: EncodedSolution) -> int:
        """Tokens of the prompts, known or not."""
        return encoded.tokens

    def forward(self, batch: Sequence[EncodedSolution]) -> list[Reading | StepscoreError]:
        """One reading, or the error of that solution, for each, in order. Raises EngineError for the whole batch.

        Each replica gets an even share of the tokens; solutions that begin alike stay together.
        """
        shares = even_shares(batch, len(self.replicas))
        parts = [[batch[number] for number in share] for share in shares]
        results: dict[int, Reading | StepscoreError] = {}
        for share, part in zip(shares, self._threads.map(ReplicaScorer.forward, self.replicas, parts), strict=True):
            results |= zip(share, part, strict=True)
        return [results[number] for number in range(len(batch))]

    def advance(self, works: Sequence[Work]) -> list[Reading | StepscoreError | None]:
        """Every work is computed whole."""
        return list(self.forward([work.encoded for work in works]))

    def release(self, work: Work) -> None:
        """Nothing is held for a work between forwards."""

    def counts(self) -> TokenCounts:
        """Of all replicas together, those that were replaced included."""
        return _sum([self._past, *(replica.counts() for replica in self.replicas)])

    def replace(self, dead: ReplicaScorer) -> ReplicaScorer:
        """A new replica in the place of a dead one. Raises what opening the first one could."""
        replica = dead.again()
        self._past = replace(_sum([self._past, dead.counts()]), kept=0, capacity=0)
        self.replicas[self.replicas.index(dead)] = replica
        return replica

    def purge(self) -> None:
        """Forget everything that is kept across calls."""
        for replica in self.replicas:
            replica.purge()

    def close(self) -> None:
        for replica in self.replicas:
            replica.close()
        self._threads.shutdown()


def _sum(counts: Sequence[TokenCounts]) -> TokenCounts:
    return TokenCounts(*(sum(each) for each in zip(*map(astuple, counts), strict=True)))


def even_shares(batch: Sequence[EncodedSolution], count: int) -> list[list[int]]:
    """The numbers of the solutions, in `count` parts of about as many tokens each; those that begin alike in a row."""
    order = sorted(range(len(batch)), key=lambda number: batch[number].sequences[0].ids)
    ends = list(accumulate(batch[number].tokens for number in order))
    shares: list[list[int]] = [[] for _ in range(count)]
    for number, end in zip(order, ends, strict=True):
        middle = end - batch[number].tokens / 2
        shares[int(count * middle / ends[-1])].append(number)
    return shares
