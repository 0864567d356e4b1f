"""A family's reading as a layer, for families whose reward is made from several reads and is trained through itself.

Shape suffixes: S read positions, N steps, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class TrainedReading(nn.Module, ABC):
    """Log-probabilities in, a number per step out. Equals the family's reader before its sigmoid."""

    @abstractmethod
    def events(self, logits_SV: Tensor, before_S: Tensor, targets_S: Tensor, marks_S: Tensor) -> Tensor:
        """(S,) log-probabilities of what happens at the reads.

        before: tokens at the reads; targets: those after. marks: of the steps that the reads belong to.
        """

    @abstractmethod
    def forward(self, events_S: Tensor, marks_N: Tensor) -> Tensor:
        """(N, 1) numbers, from `events`. marks: `EncodedSolution.marks`, whose absolute values add up to S."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The entries of config.json with which the family reads what was trained."""
