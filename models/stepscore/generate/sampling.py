"""Choosing tokens from their logits. Shape suffixes: N completions, V vocabulary."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from stepscore.generate.protocol import Sampling

_STRIDE = 1_000_003
_BLOCK = 256
"""Tokens whose shares are summed first."""


class Sampler:
    """The random choices of one completion: the same seed and number give the same ones, whatever runs beside it."""

    def __init__(self, sampling: Sampling, number: int) -> None:
        self.sampling = sampling
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed * _STRIDE + number)

    def draw(self) -> float:
        """The next number in [0, 1)."""
        return float(torch.rand((), dtype=torch.float64, generator=self._random))

    def pick(self, logits_V: torch.Tensor) -> int:
        """The next token id."""
        return pick_all(logits_V[None], [self])[0]


def pick_all(logits_NV: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """The next token id of each completion. Rows that are sampled alike are chosen from together."""
    chosen = [0] * len(samplers)
    for rows in _alike([sampler.sampling for sampler in samplers]):
        sampling = samplers[rows[0]].sampling
        part_NV = logits_NV if len(rows) == len(samplers) else logits_NV[rows]
        if sampling.temperature == 0.0:
            picked = part_NV.argmax(-1).tolist()
        else:
            picked = draw_from(part_NV, sampling, [samplers[row].draw() for row in rows])
        for row, token in zip(rows, picked, strict=True):
            chosen[row] = token
    return chosen


def mask_unlikely(logits_V: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The logits (…, V) with -inf at tokens that top_k and then top_p leave out; the likeliest always stays."""
    if 0 < sampling.top_k < logits_V.shape[-1]:
        logits_V = logits_V.masked_fill(logits_V < logits_V.topk(sampling.top_k).values[..., -1:], -torch.inf)
    if sampling.top_p < 1.0:
        sorted_V, order_V = logits_V.sort(descending=True)
        before_V = sorted_V.softmax(-1).cumsum(-1).roll(1, -1)
        before_V[..., 0] = 0.0
        dropped_V = torch.zeros_like(logits_V, dtype=torch.bool).scatter(-1, order_V, before_V >= sampling.top_p)
        logits_V = logits_V.masked_fill(dropped_V, -torch.inf)
    return logits_V


def draw_from(logits_NV: torch.Tensor, sampling: Sampling, draws: Sequence[float]) -> list[int]:
    """The token in whose share of [0, 1) each draw falls.

    The block of the vocabulary is found first, then the token in it: sums over 150,000 shares need float64, which
    the shares themselves do not.
    """
    shares_NV = mask_unlikely(logits_NV / sampling.temperature, sampling).softmax(-1)
    width = math.gcd(shares_NV.shape[-1], _BLOCK)
    blocks_NBW = shares_NV.view(len(draws), -1, width)
    places_N = torch.tensor(draws, dtype=torch.float64, device=shares_NV.device)
    block_N, rest_N = _share_of(blocks_NBW.sum(-1, dtype=torch.float64), places_N)
    inside_NW = blocks_NBW[torch.arange(len(draws), device=block_N.device), block_N].double()
    token_N, _ = _share_of(inside_NW, rest_N)
    picked: list[int] = (block_N * width + token_N).tolist()
    return picked


def _share_of(shares_NV: torch.Tensor, places_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) the share in which each place of [0, 1) falls, never an empty one, and the place inside it."""
    ends_NV = shares_NV.cumsum(-1)
    places_N1 = places_N[:, None] * ends_NV[:, -1:]
    last_N1 = shares_NV.shape[-1] - 1 - (shares_NV.flip(-1) > 0).int().argmax(-1, keepdim=True)
    found_N1 = torch.searchsorted(ends_NV, places_N1, right=True).minimum(last_N1)
    share_N1 = shares_NV.gather(-1, found_N1)
    inside_N1 = (places_N1 - ends_NV.gather(-1, found_N1) + share_N1) / share_N1
    return found_N1[:, 0], inside_N1[:, 0].clamp(0, 1)


def _alike(samplings: Sequence[Sampling]) -> list[list[int]]:
    rows: dict[tuple[float, int, float], list[int]] = {}
    for row, each in enumerate(samplings):
        rows.setdefault((each.temperature, each.top_k, each.top_p), []).append(row)
    return list(rows.values())
