"""Attention for bfloat16 on CPU: batched products over blocks, the query heads of one key head folded into rows.

PyTorch's fused CPU kernel reads a key head once for each of its query heads, and masks what lies above the diagonal
after it has computed it. Here the query heads of a key head are stacked, so that one product serves all of them, and
a block of rows skips the keys after it.

Shapes: T rows of the forward, H query heads, G key heads, F = H / G, E head width, S slots of the pool,
L tokens of context, B tokens of a block.
"""

from __future__ import annotations

import torch

from stepscore.engine.torch.gathering import Piece, keep, slots_of
from stepscore.engine.torch.inputs import ForwardInputs

SCORES = 1 << 20
"""Numbers of one block of attention weights: 4 MB in fp32, which the cache of a core or two still holds."""
SMALLEST_BLOCK, LARGEST_BLOCK = 16, 128


class BlockedAttention:
    """One pair of batched products for each block of each segment; weights in fp32.

    block: tokens of a block; 0 chooses them by the length of the context.
    """

    def __init__(self, inputs: ForwardInputs, block: int = 0) -> None:
        self._inputs = inputs
        self._pieces = [Piece(segment, slots) for segment, slots in zip(inputs.segments, slots_of(inputs), strict=True)]
        self._block = block

    def __call__(
        self,
        query_THE: torch.Tensor,
        key_TGE: torch.Tensor,
        value_TGE: torch.Tensor,
        pool_S2GE: torch.Tensor,
        window: int | None,
    ) -> torch.Tensor:
        keep(self._inputs, key_TGE, value_TGE, pool_S2GE)
        out_THE = torch.zeros_like(query_THE)
        for piece in self._pieces:
            key_LGE, value_LGE = piece.context(key_TGE, value_TGE, pool_S2GE)
            keys_GEL, values_GLE = key_LGE.permute(1, 2, 0), value_LGE.transpose(0, 1)
            block = self._block or _block_size(query_THE.shape[1], len(key_LGE))
            for start in range(piece.rows.start, piece.rows.stop, block):
                rows = slice(start, min(start + block, piece.rows.stop))
                seen = _seen(piece.depth + rows.start - piece.rows.start, rows.stop - rows.start, window)
                out_THE[rows] = _attend(query_THE[rows], keys_GEL[..., seen], values_GLE[:, seen], seen, window)
        return out_THE


def _block_size(heads: int, length: int) -> int:
    return min(LARGEST_BLOCK, max(SMALLEST_BLOCK, SCORES // (heads * length)))


def _seen(depth: int, count: int, window: int | None) -> slice:
    """The positions that any of `count` rows sees, the first of which is at `depth`."""
    return slice(0 if window is None else max(0, depth - window + 1), depth + count)


def _attend(
    query_BHE: torch.Tensor, keys_GEL: torch.Tensor, values_GLE: torch.Tensor, seen: slice, window: int | None
) -> torch.Tensor:
    """(B, H, E): the block's rows are the last of the positions seen."""
    count, heads, width = query_BHE.shape
    groups = keys_GEL.shape[0]
    folded_GRE = query_BHE.view(count, groups, heads // groups, width).permute(1, 2, 0, 3).reshape(groups, -1, width)
    scores_GFBL = torch.bmm(folded_GRE * width**-0.5, keys_GEL).float().view(groups, -1, count, seen.stop - seen.start)
    hidden_BL = _hidden(count, seen, window, query_BHE.device)
    if hidden_BL is not None:
        scores_GFBL.masked_fill_(hidden_BL, float("-inf"))
    weights_GRL = scores_GFBL.softmax(-1).to(query_BHE.dtype).view(groups, -1, seen.stop - seen.start)
    attended_GFBE = torch.bmm(weights_GRL, values_GLE).view(groups, -1, count, width)
    return attended_GFBE.permute(2, 0, 1, 3).reshape(count, heads, width)


def _hidden(count: int, seen: slice, window: int | None, device: torch.device) -> torch.Tensor | None:
    """(B, L): which positions a row does not see; None if every row sees all of them."""
    if count == 1:
        return None
    rows = torch.arange(seen.stop - count, seen.stop, device=device).unsqueeze(1)
    columns = torch.arange(seen.start, seen.stop, device=device)
    hidden = columns > rows
    return hidden if window is None else hidden | (columns <= rows - window)
