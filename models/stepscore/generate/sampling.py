"""Choosing the next token from its logits. V: vocabulary."""

from __future__ import annotations

import torch

from stepscore.generate.base import Sampling

_STRIDE = 1_000_003


class Sampler:
    """The random choices of one completion: the same seed and number give the same ones, whatever runs beside it."""

    def __init__(self, sampling: Sampling, number: int) -> None:
        self._sampling = sampling
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed * _STRIDE + number)

    def pick(self, logits_V: torch.Tensor) -> int:
        """The next token id."""
        if self._sampling.temperature == 0.0:
            return int(logits_V.argmax())
        probabilities_V = allowed(logits_V / self._sampling.temperature, self._sampling).softmax(-1)
        return int(torch.multinomial(probabilities_V.cpu(), 1, generator=self._random))


def allowed(logits_V: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The logits with -inf at every token that top_k and then top_p leave out; the likeliest always stays."""
    if 0 < sampling.top_k < logits_V.numel():
        logits_V = logits_V.masked_fill(logits_V < logits_V.topk(sampling.top_k).values[-1], -torch.inf)
    if sampling.top_p < 1.0:
        sorted_V, order_V = logits_V.sort(descending=True)
        before_V = sorted_V.softmax(-1).cumsum(-1).roll(1)
        before_V[0] = 0.0
        dropped_V = torch.zeros_like(logits_V, dtype=torch.bool).scatter(0, order_V, before_V >= sampling.top_p)
        logits_V = logits_V.masked_fill(dropped_V, -torch.inf)
    return logits_V
