"""What an objective is: numbers at read positions and targets in, a loss out.

Shape suffixes: S read positions of all solutions of a batch in order, C numbers per position, B solutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Targets:
    """What the numbers of a batch should become.

    labels: (S,) in [0, 1]; NaN if nobody judged, and at reads that are not steps. outcomes: (B,) 1, 0, or NaN where
    the outcome is not known. lengths: B counts of read positions, S in sum.
    """

    labels: Tensor
    outcomes: Tensor
    lengths: tuple[int, ...]

    def per_solution(self, of_reads: Tensor) -> Sequence[Tensor]:
        """A tensor over S, cut into the solutions' own."""
        return torch.split(of_reads, list(self.lengths))


class Objective(Protocol):
    """The loss of a batch is `total / items`, with both summed over everything that one optimiser step sees.

    So a loss does not depend on how solutions are spread over batches, devices and accumulated steps.
    """

    def items(self, targets: Targets) -> int:
        """Over how many things (judged steps, solutions) the loss is a mean; 0 if nothing can be learnt."""
        ...

    def total(self, numbers_SC: Tensor, targets: Targets) -> Tensor:
        """The summed loss, a scalar. numbers_SC: fp32, what the head gives (a linear head's logits; for an implicit
        PRM the log-probabilities of policy and reference, C = 2)."""
        ...
