"""Causal attention of few rows over a long past, as masked products in fp32.

Flash attention starts one block for each head, segment and 128 rows, which walks over all keys: with few rows most of
a GPU is idle. A plain product spreads the keys over all of it.

Shapes: T rows of the forward, H query heads, G key heads, R query heads of each key head, E head width, L tokens of all
contexts.
"""

from __future__ import annotations

import torch

from stepscore.engine.torch.inputs import ForwardInputs


class DenseAttention:
    """Every row against the whole context; what is not its past is masked. For inputs without rows beyond the segments.

    A key or value that is not a finite number spreads to all rows.
    As `VarlenAttention`, it writes all rows to the pool and gathers the context from there. Masks are computed on the
    device, from the ends of the segments at the time of the first call.
    """

    def __init__(self, inputs: ForwardInputs) -> None:
        self._inputs = inputs
        self._masks: dict[int | None, torch.Tensor] = {}

    def __call__(
        self,
        query_THE: torch.Tensor,
        key_TGE: torch.Tensor,
        value_TGE: torch.Tensor,
        pool_S2GE: torch.Tensor,
        window: int | None,
    ) -> torch.Tensor:
        pool_S2GE[:, 0].index_copy_(0, self._inputs.write, key_TGE)
        pool_S2GE[:, 1].index_copy_(0, self._inputs.write, value_TGE)
        context_L2GE = pool_S2GE.index_select(0, self._inputs.context)
        key_GLE, value_GLE = (context_L2GE[:, part].transpose(0, 1).float() for part in (0, 1))
        (rows, heads, width), key_heads = query_THE.shape, len(key_GLE)
        query_GTRE = query_THE.view(rows, key_heads, -1, width).transpose(0, 1).float() * width**-0.5
        scores_GXL = query_GTRE.reshape(key_heads, -1, width) @ key_GLE.transpose(1, 2)
        scores_GTRL = scores_GXL.view(key_heads, rows, -1, len(context_L2GE))
        scores_GTRL += self._mask(rows, window).unsqueeze(1)
        attended_GXE = scores_GTRL.softmax(-1).view_as(scores_GXL) @ value_GLE
        attended_TGRE: torch.Tensor = attended_GXE.view(key_heads, rows, -1, width).transpose(0, 1)
        return attended_TGRE.reshape(rows, heads, width).to(query_THE.dtype)

    def _mask(self, rows: int, window: int | None) -> torch.Tensor:
        """(T, L): 0 if the row sees the token, else -inf."""
        if window not in self._masks:
            segment_T1, left_T1 = (each.unsqueeze(1) for each in _places(self._inputs.query_ends, rows))
            segment_L, left_L = _places(self._inputs.key_ends, len(self._inputs.context))
            seen = (segment_T1 == segment_L) & (left_L >= left_T1)
            if window is not None:
                seen &= left_L - left_T1 < window
            self._masks[window] = torch.zeros_like(seen, dtype=torch.float32).masked_fill_(~seen, float("-inf"))
        return self._masks[window]


def _places(ends: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each of so many rows or tokens: which segment it belongs to, and how many of that follow, itself included."""
    numbers = torch.arange(count, device=ends.device, dtype=ends.dtype)
    segments = torch.searchsorted(ends[1:], numbers, right=True)
    return segments, ends[1:].index_select(0, segments) - numbers
