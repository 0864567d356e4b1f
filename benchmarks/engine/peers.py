"""What others do with the same sequences: the model card's loop and padded batches, on transformers' own model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from stepscore.engine.reference import ReferenceModel
from stepscore.types import Encoded, Values

PAD = 0
Batches = list[list[int]]
Runner = Callable[[Sequence[Encoded]], list[Values]]


class TransformersPeer:
    """Batches of a call, as a peer forms them, through transformers' model with its head at the reads.

    computed: tokens that went through the layers so far, padding included.
    """

    def __init__(self, model: ReferenceModel, batches: Callable[[Sequence[Encoded]], Batches]) -> None:
        self._model = model
        self._batches = batches
        self._device = model.backbone.device
        self.computed = 0

    @torch.inference_mode()
    def __call__(self, call: Sequence[Encoded]) -> list[Values]:
        found: dict[int, Values] = {}
        for batch in self._batches(call):
            found.update(zip(batch, self._forward([call[index] for index in batch]), strict=True))
        return [found[index] for index in range(len(call))]

    def purge(self) -> None:
        """Nothing is kept."""

    def _forward(self, batch: Sequence[Encoded]) -> list[Values]:
        ids = right_padded(batch).to(self._device)
        self.computed += ids.numel()
        lengths = torch.tensor([len(one.ids) for one in batch], device=self._device)
        mask = (torch.arange(ids.shape[1], device=self._device) < lengths.unsqueeze(1)).long()
        backbone: Any = self._model.backbone
        hidden = backbone(
            input_ids=ids, attention_mask=mask if len(batch) > 1 else None, use_cache=False
        ).last_hidden_state
        return [self._read(states, one) for states, one in zip(hidden, batch, strict=True)]

    def _read(self, states: torch.Tensor, one: Encoded) -> Values:
        targets = torch.tensor(one.targets or (0,) * len(one.reads), device=self._device)
        return np.asarray(self._model.readout(states[list(one.reads)], targets).cpu().numpy())


def right_padded(batch: Sequence[Encoded]) -> torch.Tensor:
    """(B, longest) ids."""
    longest = max(len(one.ids) for one in batch)
    return torch.tensor([(*one.ids, *[PAD] * (longest - len(one.ids))) for one in batch])


def one_at_a_time(call: Sequence[Encoded]) -> Batches:
    """The model card's loop."""
    return [[index] for index in range(len(call))]


def padded(size: int) -> Callable[[Sequence[Encoded]], Batches]:
    """Batches of `size` in the order given, padded to their longest."""
    return lambda call: [list(range(len(call)))[start : start + size] for start in range(0, len(call), size)]


def sorted_with_budget(budget: int) -> Callable[[Sequence[Encoded]], Batches]:
    """Sorted by length, as many as fit a budget of padded tokens."""

    def batches(call: Sequence[Encoded]) -> Batches:
        order = sorted(range(len(call)), key=lambda index: -len(call[index].ids))
        made: Batches = [[]]
        for index in order:
            if made[-1] and (len(made[-1]) + 1) * len(call[made[-1][0]].ids) > budget:
                made.append([])
            made[-1].append(index)
        return [batch for batch in made if batch]

    return batches
