"""What an engine refuses to run, before a forward is spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stepscore.errors import InvalidInput, check_length
from stepscore.family.heads import Head, TokenLogProbHead
from stepscore.types import Encoded


@dataclass(frozen=True, slots=True)
class SequenceLimits:
    """max_tokens: longest sequence; vocabulary: ids lie below it; head: says whether reads need targets."""

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
