"""The context of a segment: its cached keys and values, then those of the running forward.

Shapes: T rows of the forward, G key heads, E head width, L tokens of context.
"""

from __future__ import annotations

import torch

from stepscore.engine.torch.packing import Segment

KeysValues = tuple[torch.Tensor, torch.Tensor]


class Piece:
    """A segment with the indices that every layer uses again."""

    def __init__(self, segment: Segment, device: torch.device) -> None:
        self.rows = slice(segment.start, segment.stop)
        self.depth = segment.depth
        self._ranges = segment.context
        self._slots = torch.from_numpy(segment.slots).to(device) if len(segment.slots) else None

    @property
    def tokens(self) -> int:
        return self.rows.stop - self.rows.start

    def context(self, fresh: KeysValues, past: KeysValues | None) -> KeysValues:
        """Keys and values (L, G, E). fresh: (T, G, E) of this forward; past: the layer's pool (slots, G, E)."""
        return self._context(fresh[0], past and past[0]), self._context(fresh[1], past and past[1])

    def _context(self, fresh_TGE: torch.Tensor, past: torch.Tensor | None) -> torch.Tensor:
        parts = [fresh_TGE[start:stop] for start, stop in self._ranges]
        if self._slots is not None and past is not None:
            parts.insert(0, past.index_select(0, self._slots))
        return parts[0] if len(parts) == 1 else torch.cat(parts)
