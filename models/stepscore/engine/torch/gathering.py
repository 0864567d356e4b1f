"""The context of a segment: its cached keys and values, then those of the running forward.

Shapes: T rows of the forward, G key heads, E head width, S slots, L tokens of context.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from stepscore.engine.torch.inputs import ForwardInputs
from stepscore.engine.torch.packing import Segment

KeysValues = tuple[torch.Tensor, torch.Tensor]


class Piece:
    """A segment with the indices that every layer uses again. slots: of the cached part of its past."""

    def __init__(self, segment: Segment, slots: torch.Tensor) -> None:
        self.rows = slice(segment.start, segment.stop)
        self.depth = segment.depth
        self._ranges = segment.context
        self._slots = slots

    @property
    def tokens(self) -> int:
        return self.rows.stop - self.rows.start

    def context(self, key_TGE: torch.Tensor, value_TGE: torch.Tensor, pool_S2GE: torch.Tensor) -> KeysValues:
        """Keys and values (L, G, E): what the pool keeps of the past, then rows of this forward."""
        keys, values = ([fresh[start:stop] for start, stop in self._ranges] for fresh in (key_TGE, value_TGE))
        if len(self._slots):
            cached = pool_S2GE.index_select(0, self._slots)
            keys.insert(0, cached[:, 0])
            values.insert(0, cached[:, 1])
        return _joined(keys), _joined(values)


def slots_of(inputs: ForwardInputs) -> Iterator[torch.Tensor]:
    """The cached slots of each segment."""
    start = 0
    for segment in inputs.segments:
        yield inputs.context[start : start + len(segment.slots)]
        start += segment.depth + segment.stop - segment.start


def keep(inputs: ForwardInputs, key_TGE: torch.Tensor, value_TGE: torch.Tensor, pool_S2GE: torch.Tensor) -> None:
    """Write the rows that outlive the forward to the pool."""
    if not len(inputs.keep_rows):
        return
    for number, rows in enumerate((key_TGE, value_TGE)):
        pool_S2GE[:, number].index_copy_(0, inputs.keep_slots, rows.index_select(0, inputs.keep_rows))


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
