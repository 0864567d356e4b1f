"""An engine without weights: numbers that depend on nothing but the tokens up to the read position.

It keeps the promises of a real engine (causal, deterministic, independent of company), so that the batcher, the
service and the families can be tested at the engine's seam without a forward pass.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Sequence

import numpy as np

from stepscore.engine.protocol import EngineInfo, TokenCounts
from stepscore.types import Encoded, Values

LOW, HIGH = -4.0, 4.0


class FakeEngine:
    """Numbers in [-4, 4] made from a digest of `ids[:read + 1]` and, if the sequence has one, the target.

    outputs: C.
    before_forward: called with the batch before every forward; may sleep, record or raise.
    delay: seconds that a forward takes; seconds_per_token: the same for every token of it.
    """

    def __init__(
        self,
        outputs: int,
        *,
        max_tokens: int = 4096,
        max_batch_tokens: int = 1024,
        delay: float = 0.0,
        seconds_per_token: float = 0.0,
        before_forward: Callable[[Sequence[Encoded]], None] | None = None,
    ) -> None:
        self._outputs = outputs
        self._delay = delay
        self._seconds_per_token = seconds_per_token
        self._before_forward = before_forward
        self._tokens = 0
        self._info = EngineInfo("fake", "none", "float32", "fast", max_tokens, max_batch_tokens)

    @property
    def info(self) -> EngineInfo:
        return self._info

    def counts(self) -> TokenCounts:
        return TokenCounts(prompt=self._tokens, computed=self._tokens)

    def cost(self, encoded: Encoded) -> int:
        return len(encoded.ids)

    def forward(self, batch: Sequence[Encoded]) -> list[Values]:
        if self._before_forward is not None:
            self._before_forward(batch)
        tokens = sum(len(encoded.ids) for encoded in batch)
        pause = self._delay + self._seconds_per_token * tokens
        if pause:
            time.sleep(pause)
        self._tokens += tokens
        return [self._values(encoded) for encoded in batch]

    def purge(self) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to free."""

    def _values(self, encoded: Encoded) -> Values:
        rows = np.empty((len(encoded.reads), self._outputs), dtype=np.float32)
        prefix, start = hashlib.blake2b(), 0
        for row, read in enumerate(encoded.reads):
            fresh = encoded.ids[start : read + 1]
            prefix.update(struct.pack(f"<{len(fresh)}q", *fresh))
            start = read + 1
            rows[row] = _numbers(prefix, encoded.targets[row : row + 1], self._outputs)
        return rows


def _numbers(prefix: hashlib.blake2b, target: tuple[int, ...], count: int) -> Values:
    """`count` numbers drawn from the digest of a prefix (the digest itself is left as it was)."""
    seed = prefix.copy()
    seed.update(struct.pack(f"<{len(target)}q", *target))
    generator = np.random.default_rng(int.from_bytes(seed.digest()[:8], "little"))
    return generator.uniform(LOW, HIGH, count).astype(np.float32)
