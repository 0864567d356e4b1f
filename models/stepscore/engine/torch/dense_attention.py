"""Causal attention of few rows over a long past, as masked products in fp32.

Flash attention starts one block for each head, segment and 128 rows, which walks over all keys: with few rows most of
a GPU is idle. Here the keys are split into parts, which a GPU computes side by side.

Shapes: T rows of the forward, H query heads, G key heads, R query heads of each key head, X = T x R, E head width, L
tokens of all contexts, in N parts of C.
"""

from __future__ import annotations

import torch

from stepscore.engine.torch.inputs import ForwardInputs

PART = 512
"""C, if it divides L; else there is one part."""


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
        (rows, heads, width), (length, _, key_heads, _) = query_THE.shape, context_L2GE.shape
        parts = length // PART if length % PART == 0 else 1
        context_2GLE = context_L2GE.permute(1, 2, 0, 3).to(torch.float32, memory_format=torch.contiguous_format)
        key_GNCE, value_GNCE = context_2GLE.reshape(2, key_heads, parts, -1, width).unbind()
        query_GTRE = query_THE.view(rows, key_heads, -1, width).transpose(0, 1).float() * width**-0.5
        scores_GNXC = query_GTRE.reshape(key_heads, 1, -1, width) @ key_GNCE.transpose(2, 3)
        scores_GNXC.view(key_heads, parts, rows, -1, length // parts).add_(self._mask(rows, parts, window).unsqueeze(2))
        weights_GNXC = (scores_GNXC - scores_GNXC.amax((1, 3), keepdim=True)).exp_()
        attended_GXE = (weights_GNXC @ value_GNCE).sum(1) / weights_GNXC.sum((1, 3)).unsqueeze(2)
        attended_TGRE = attended_GXE.view(key_heads, rows, -1, width).transpose(0, 1)
        attended_THE: torch.Tensor = attended_TGRE.reshape(rows, heads, width).to(query_THE.dtype)
        return attended_THE

    def _mask(self, rows: int, parts: int, window: int | None) -> torch.Tensor:
        """(N, T, C): 0 if the row sees the token, else -inf."""
        if window not in self._masks:
            segment_T1, left_T1 = (each.unsqueeze(1) for each in _places(self._inputs.query_ends, rows))
            segment_L, left_L = _places(self._inputs.key_ends, len(self._inputs.context))
            seen = (segment_T1 == segment_L) & (left_L >= left_T1)
            if window is not None:
                seen &= left_L - left_T1 < window
            mask_TL = torch.zeros_like(seen, dtype=torch.float32).masked_fill_(~seen, float("-inf"))
            self._masks[window] = mask_TL.view(rows, parts, -1).transpose(0, 1).contiguous()
        return self._masks[window]


def _places(ends: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each of so many rows or tokens: which segment it belongs to, and how many of that follow, itself included."""
    numbers = torch.arange(count, device=ends.device, dtype=ends.dtype)
    segments = torch.searchsorted(ends[1:], numbers, right=True)
    return segments, ends[1:].index_select(0, segments) - numbers
