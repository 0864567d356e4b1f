"""The engine protocol: token sequences in, the head's numbers at their read positions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol, runtime_checkable

from stepscore.config import Quantize
from stepscore.errors import InvalidInput, check_length
from stepscore.family.heads import Head, TokenLogProbHead
from stepscore.types import Encoded, EncodedSolution, Values

SMALLEST_FORWARD = 64
"""Tokens: what does not fit into memory with so few at a time is an error."""
SMALLEST_SHARE = 8
"""A part of a solution that is smaller than this share of a forward waits for the next one, where it will be larger."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine runs on.

    max_tokens: longest sequence accepted. max_batch_tokens: the forward it likes best. large_batch_tokens: the largest,
    for when nothing small waits; 0 if there is no difference. chunked: whether it computes a sequence over several
    forwards (`ChunkedEngine`). in_flight: forwards that may be started before the first of them
    is finished (`launch`).
    """

    name: str
    device: str
    dtype: str
    mode: str
    max_tokens: int
    max_batch_tokens: int
    chunked: bool = False
    in_flight: int = 1
    large_batch_tokens: int = 0


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens since the engine was opened: prompt (sum of sequence lengths) and computed (gone through the layers).

    kept: whose keys and values are in the cache now. capacity: how many can be. evicted: given up for others.
    """

    prompt: int
    computed: int
    kept: int = 0
    capacity: int = 0
    evicted: int = 0


class Cursor(Protocol):
    """How far an engine has come in a sequence; what was computed so far is kept until it is released."""

    def release(self) -> None: ...


@dataclass(eq=False, slots=True)
class Work:
    """One solution on its way through an engine, over as many forwards as it needs: its sequences in their order.

    token_budget: new tokens that the next forward may spend on it.
    outputs: the numbers of the sequences that are finished.
    cursor: how far the engine has come in the next sequence; None if it has not begun.
    """

    encoded: EncodedSolution
    token_budget: int = 0
    outputs: list[Values] = field(default_factory=list)
    cursor: Cursor | None = None

    def release(self) -> None:
        """Give up what is kept of the sequence that was begun."""
        if self.cursor is not None:
            self.cursor.release()
        self.cursor = None

    @property
    def finished(self) -> bool:
        return len(self.outputs) == len(self.encoded.sequences)

    @property
    def remaining(self) -> EncodedSolution:
        """What is not finished yet."""
        if not self.outputs:
            return self.encoded
        return replace(self.encoded, sequences=self.encoded.sequences[len(self.outputs) :])


class Engine(Protocol):
    """Runs forward passes. Not thread-safe: one caller at a time (the batcher owns the thread)."""

    @property
    def info(self) -> EngineInfo: ...

    def counts(self) -> TokenCounts: ...

    def cost(self, encoded: Encoded) -> int:
        """Tokens that this sequence is expected to compute now (cached prefixes excluded)."""
        ...

    def forward(self, batch: Sequence[Encoded]) -> list[Values]:
        """One array of shape (S, C) per sequence, in order, fp32.

        Raises EngineError if the forward itself fails; never returns a shorter list.
        """
        ...

    def purge(self) -> None:
        """Forget everything kept across calls (prefix cache, stored numbers)."""
        ...

    def close(self) -> None:
        """Free the weights. The engine cannot be used afterwards."""
        ...


@runtime_checkable
class ChunkedEngine(Engine, Protocol):
    """An engine that can stop inside a sequence and continue it in a later forward."""

    def advance(self, works: Sequence[Work]) -> None:
        """One forward. Spends at most its token budget on each work; finished sequences append to its outputs.

        More is spent only if what was computed could not be kept until the next forward.
        Raises EngineError if the forward fails; the works are then as they were before.
        """
        ...

    def launch(self, works: Sequence[Work]) -> Callable[[], None]:
        """Start the forward of `advance`; the call of what is returned waits for its end and does the rest.

        Forwards are finished in the order in which they were started, and no work is in two of them.
        Both calls raise as `advance` does.
        """
        ...

    def release(self, work: Work) -> None:
        """Cancel a work: what is kept for it may be evicted. May be called while a forward runs."""
        ...


@runtime_checkable
class QuantizableEngine(Engine, Protocol):
    """An engine that can turn its weights into 8 bits."""

    def quantize(self, kind: Quantize) -> None: ...


@dataclass(frozen=True, slots=True)
class SequenceLimits:
    """What an engine refuses to run, before a forward is spent on it.

    max_tokens: longest sequence; vocabulary: ids lie below it; head: says whether reads need targets.
    """

    max_tokens: int
    vocabulary: int
    head: Head

    def check(self, batch: Sequence[Encoded]) -> None:
        """Raises InvalidInput (TooLong with tokens, limit, excess); detail: item, the index in the batch."""
        for item, encoded in enumerate(batch):
            check_length(len(encoded.ids), self.max_tokens, "the model", item=item)
            self._check_ids(encoded, item)
            self._check_reads(encoded, item)

    def _check_ids(self, encoded: Encoded, item: int) -> None:
        for ids in (encoded.ids, encoded.targets):
            if ids and not (min(ids) >= 0 and max(ids) < self.vocabulary):
                message = f"sequence {item} has token ids outside the model's vocabulary of {self.vocabulary}"
                raise InvalidInput(message, item=item)

    def _check_reads(self, encoded: Encoded, item: int) -> None:
        reads = encoded.reads
        ascending = all(first < second for first, second in pairwise(reads))
        if reads and not (ascending and reads[0] >= 0 and reads[-1] < len(encoded.ids)):
            raise InvalidInput(f"the reads of sequence {item} do not ascend inside it", item=item)
        wanted = len(reads) if isinstance(self.head, TokenLogProbHead) else 0
        if len(encoded.targets) != wanted:
            raise InvalidInput(f"sequence {item} has {len(encoded.targets)} targets, not {wanted}", item=item)
