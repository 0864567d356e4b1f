"""Solutions as the tensors of one forward: packed into one row without padding, or padded on the right.

Shape suffixes: R rows, T tokens of a row, S read positions, B solutions, L positions whose next token is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from stepscore_service.jobs.train.example import Example
from stepscore_service.jobs.train.objective import Objective, Targets


@dataclass(frozen=True, slots=True)
class Batch:
    """input_ids, position_ids: (R, T). attention_mask: (R, T), None where rows are packed (positions say it all).

    reads (S,), predicted (L,): indices into the R * T tokens. read_targets: (S,) token ids, for heads that read the
    probability of one. items, predictions: what the losses of this batch are sums over.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor | None
    reads: Tensor
    read_targets: Tensor
    predicted: Tensor
    targets: Targets
    items: int
    predictions: int

    def to(self, device: torch.device, **kwargs: Any) -> Batch:
        """On another device."""
        moved: dict[str, Any] = {
            field.name: value.to(device, **kwargs)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        labels, outcomes = (each.to(device, **kwargs) for each in (self.targets.labels, self.targets.outcomes))
        return replace(self, **moved, targets=replace(self.targets, labels=labels, outcomes=outcomes))


Collate = Callable[[Sequence[Example]], Batch]


def collator(objective: Objective, *, packed: bool) -> Collate:
    def collate(examples: Sequence[Example]) -> Batch:
        return (_packed if packed else _padded)(examples, objective)

    return collate


def _packed(examples: Sequence[Example], objective: Objective) -> Batch:
    lengths = [len(example.ids) for example in examples]
    ids = torch.cat([_long(example.ids) for example in examples])[None]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    return _batch(examples, objective, ids, positions, None, [0, *accumulate(lengths)][:-1])


def _padded(examples: Sequence[Example], objective: Objective) -> Batch:
    lengths = torch.tensor([len(example.ids) for example in examples])
    ids = pad_sequence([_long(example.ids) for example in examples], batch_first=True)
    positions = torch.arange(ids.shape[1]).expand_as(ids)
    starts = [row * ids.shape[1] for row in range(len(examples))]
    return _batch(examples, objective, ids, positions, (positions < lengths[:, None]).long(), starts)


def _batch(
    examples: Sequence[Example],
    objective: Objective,
    ids: Tensor,
    positions: Tensor,
    mask: Tensor | None,
    starts: Sequence[int],
) -> Batch:
    """starts: where each solution begins among the R * T tokens."""
    placed = list(zip(examples, starts, strict=True))
    targets = _targets(examples)
    predicted = [torch.arange(each.answer - 1, len(each.ids) - 1) + start for each, start in placed if each.answer]
    return Batch(
        input_ids=ids,
        position_ids=positions,
        attention_mask=mask,
        reads=torch.cat([_long(example.reads) + start for example, start in placed]),
        read_targets=torch.cat([_long(example.read_targets) for example in examples]),
        predicted=torch.cat(predicted) if predicted else torch.zeros(0, dtype=torch.long),
        targets=targets,
        items=objective.items(targets),
        predictions=sum(map(len, predicted)),
    )


def _targets(examples: Sequence[Example]) -> Targets:
    labels = torch.cat([torch.from_numpy(example.labels) for example in examples])
    outcomes = torch.tensor([example.outcome for example in examples])
    return Targets(labels, outcomes, tuple(len(example.reads) for example in examples))


def _long(numbers: Any) -> Tensor:
    return torch.from_numpy(numbers).long()
