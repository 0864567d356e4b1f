"""What an engine refuses to run, before a forward is spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stepscore.errors import InvalidInput, TooLong
from stepscore.family.heads import GatedHead, Head, LinearHead, TokenLogProbHead, VerdictHead, VocabularyHead
from stepscore.types import Encoded


def outputs_of(head: Head) -> int:
    """C, the numbers that a head gives at each read position."""
    match head:
        case LinearHead():
            return head.outputs
        case VocabularyHead():
            return len(head.token_ids)
        case TokenLogProbHead():
            return (1 + len(head.beside)) * (2 if head.reference else 1)
        case GatedHead():
            return 2 * head.objectives
        case VerdictHead():
            return 0
    return head.members


def check_length(tokens: int, limit: int, reader: str, **detail: object) -> None:
    """Raises TooLong if there are more tokens than `reader` reads. detail: tokens, limit, excess and what is given."""
    if tokens > limit:
        excess = tokens - limit
        message = f"{tokens} tokens are {excess} more than the {limit} that {reader} reads"
        raise TooLong(message, tokens=tokens, limit=limit, excess=excess, **detail)


@dataclass(frozen=True, slots=True)
class SequenceLimits:
    """max_tokens: longest sequence; vocabulary: ids lie below it; head: says whether reads need targets."""

    max_tokens: int
    vocabulary: int
    head: Head

    @property
    def outputs(self) -> int:
        return outputs_of(self.head)

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
