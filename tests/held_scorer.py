"""A scorer whose forwards can be held, counted and broken, and somebody who measures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from stepscore.engine.protocol import TokenCounts, Work
from stepscore.errors import EmptyStep, UnscorableError
from stepscore.scoring.protocol import ModelInfo
from stepscore.types import PROBABILITY, Encoded, EncodedSolution, Reading, Solution
from stepscore_service.batching.worker import ForwardResult

INFO = ModelInfo("m", "f", "r", PROBABILITY, "min", 0.5, "", 1000, 100, "stub", "cpu", "float32", "fast")
BIT = 10
"""Tokens of every solution here."""


class HeldScorer:
    """One reward per step: the length of the step over 100. A forward waits while `held` is set."""

    info = INFO

    def __init__(self, forward: Callable[[Sequence[str]], None] = lambda texts: None) -> None:
        self.batches: list[list[str]] = []
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self._before = forward
        self.closed = False

    def encode(self, solution: Solution) -> EncodedSolution:
        if not solution.steps[0].strip():
            raise EmptyStep("step 0 is empty", step=0)
        ids = tuple(solution.steps[0].encode().ljust(BIT))
        return EncodedSolution((Encoded(ids, (BIT - 1,)),), steps=1)

    def cost(self, encoded: EncodedSolution) -> int:
        return encoded.tokens

    def advance(self, works: Sequence[Work]) -> list[ForwardResult]:
        texts = [bytes(work.encoded.sequences[0].ids).decode().strip() for work in works]
        self.batches.append(texts)
        self.entered.set()
        assert self.free.wait(10)
        self._before(texts)
        return [UnscorableError("no") if text == "bad" else Reading((len(text) / 100,)) for text in texts]

    def release(self, work: Work) -> None:
        """Nothing is held."""

    def counts(self) -> TokenCounts:
        return TokenCounts(0, 0)

    def close(self) -> None:
        self.closed = True


class Counted:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.skips: dict[str, int] = {}
        self.batches: list[int] = []
        self.failures: list[str] = []

    def observe_tokenising(self, seconds: float) -> None:
        assert seconds >= 0

    def observe_wait(self, seconds: float) -> None:
        assert seconds >= 0

    def count_forward(self, solutions: int, tokens: int, seconds: float) -> None:
        self.batches.append(solutions)

    def count_failure(self, code: str) -> None:
        self.failures.append(code)

    def count_skipped(self, reason: str, solutions: int) -> None:
        self.skips[reason] = self.skips.get(reason, 0) + solutions
