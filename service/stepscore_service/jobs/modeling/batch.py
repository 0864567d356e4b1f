"""Solutions as the tensors of one forward: packed into one row without padding, padded on the right, or as trees.

Shape suffixes: R rows, T tokens of a row, S read positions, N numbers, B solutions, L tokens that are predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from stepscore_service.jobs.modeling.example import Example
from stepscore_service.jobs.modeling.objective import Objective, Targets
from stepscore_service.jobs.modeling.plan import RowLayout
from stepscore_service.jobs.modeling.prefix_tree import ExampleRow, PrefixTree, tree_of


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """input_ids, position_ids: (R, T). attention_mask: None if rows are packed (positions say it all), (R, T) where
    they are padded, (R, 1, T, T) true where a token sees another in trees.

    reads (S,), predicting (L,): indices into the R * T tokens. read_targets: (S,) token ids, for heads that read the
    probability of one. marks: (N,) reads of each step, empty if each number has one. predicted: (L,) token ids.
    items: what the loss of this batch is a sum over.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor | None
    reads: Tensor
    read_targets: Tensor
    marks: Tensor
    predicting: Tensor
    predicted: Tensor
    targets: Targets
    items: int

    @property
    def predictions(self) -> int:
        return len(self.predicted)

    def to(self, device: torch.device, **kwargs: Any) -> TrainBatch:
        """On another device."""
        moved: dict[str, Any] = {
            field.name: value.to(device, **kwargs)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        labels, outcomes = (each.to(device, **kwargs) for each in (self.targets.labels, self.targets.outcomes))
        return replace(self, **moved, targets=replace(self.targets, labels=labels, outcomes=outcomes))


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Rows of tokens. places: for each solution, the index among the R * T tokens of each of its own."""

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor | None
    places: Sequence[Tensor]


Collate = Callable[[Sequence[ExampleRow]], TrainBatch]


def collator(objective: Objective, layout: RowLayout) -> Collate:
    def collate(rows: Sequence[ExampleRow]) -> TrainBatch:
        return _batch(list(chain.from_iterable(rows)), objective, LAYOUTS[layout](rows))

    return collate


def _pack(rows: Sequence[ExampleRow]) -> PackedRows:
    examples = list(chain.from_iterable(rows))
    lengths = [len(example.ids) for example in examples]
    ids = torch.cat([_long(example.ids) for example in examples])
    positions = torch.cat([torch.arange(length) for length in lengths])
    return PackedRows(ids[None], positions[None], None, torch.split(torch.arange(len(ids)), lengths))


def _pad(rows: Sequence[ExampleRow]) -> PackedRows:
    examples = list(chain.from_iterable(rows))
    lengths = torch.tensor([len(example.ids) for example in examples])
    ids = pad_sequence([_long(example.ids) for example in examples], batch_first=True)
    width = ids.shape[1]
    positions = torch.arange(width).expand_as(ids)
    places = [torch.arange(length) + row * width for row, length in enumerate(lengths.tolist())]
    return PackedRows(ids, positions, (positions < lengths[:, None]).long(), places)


def _share(rows: Sequence[ExampleRow]) -> PackedRows:
    trees = list(map(tree_of, rows))
    width = max(tree.size for tree in trees)
    ids, depths, sees = zip(*(_fill(tree, width) for tree in trees), strict=True)
    places = [_long(own) + row * width for row, tree in enumerate(trees) for own in tree.places]
    return PackedRows(torch.stack(ids), torch.stack(depths), torch.stack(sees)[:, None], places)


def _fill(tree: PrefixTree, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """A tree's tokens up to `width`; what fills it up sees itself alone, since something must be seen."""
    short = width - tree.size
    ids, depths, sees = map(torch.from_numpy, tree.tokens())
    filled = pad(sees, (0, short, 0, short)) | torch.eye(width, dtype=torch.bool)
    return pad(ids, (0, short)), pad(depths, (0, short)), filled


LAYOUTS: dict[RowLayout, Callable[[Sequence[ExampleRow]], PackedRows]] = {
    "packed": _pack,
    "padded": _pad,
    "shared": _share,
}


def _batch(examples: Sequence[Example], objective: Objective, packed: PackedRows) -> TrainBatch:
    placed = list(zip(examples, packed.places, strict=True))
    targets = _targets(examples)
    predicting, predicted = _predictions(placed, packed)
    return TrainBatch(
        input_ids=packed.input_ids,
        position_ids=packed.position_ids,
        attention_mask=packed.attention_mask,
        reads=torch.cat([places[_long(example.reads)] for example, places in placed]),
        read_targets=torch.cat([_long(example.read_targets) for example in examples]),
        marks=torch.cat([_long(example.marks) for example in examples if example.marks is not None] or [_none()]),
        predicting=predicting,
        predicted=predicted,
        targets=targets,
        items=objective.items(targets),
    )


def _predictions(placed: Sequence[tuple[Example, Tensor]], packed: PackedRows) -> tuple[Tensor, Tensor]:
    """Where tokens are predicted, and which; a token that several solutions share is predicted once."""
    inside = [(each.predicted, places) for each, places in placed if each.predicted]
    if not inside:
        return _none(), _none()
    tokens = torch.cat([places[span.start : span.stop] for span, places in inside])
    before = torch.cat([places[span.start - 1 : span.stop - 1] for span, places in inside])
    tokens, first = map(torch.from_numpy, np.unique(tokens.numpy(), return_index=True))
    return before[first], packed.input_ids.flatten()[tokens]


def _targets(examples: Sequence[Example]) -> Targets:
    labels = torch.cat([torch.from_numpy(example.labels) for example in examples])
    outcomes = torch.tensor([example.outcome for example in examples])
    return Targets(labels, outcomes, tuple(len(example.labels) for example in examples))


def _long(numbers: Any) -> Tensor:
    return torch.from_numpy(numbers).long()


def _none() -> Tensor:
    return torch.zeros(0, dtype=torch.long)
