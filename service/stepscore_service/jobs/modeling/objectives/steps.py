"""Objectives over single steps: cross-entropy on hard labels, binary cross-entropy on soft ones, squared error.

All three read a step's log-odds: of two class logits their difference, of one value the value itself. The
cross-entropy of two classes is the binary one of their difference, so one formula serves every head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from stepscore_service.jobs.modeling.objective import Targets

StepLoss = Callable[[Tensor, Tensor], Tensor]


def log_odds(numbers_SC: Tensor) -> Tensor:
    """(S,): of two logits good minus bad, of one value the value."""
    return numbers_SC[:, 1] - numbers_SC[:, 0] if numbers_SC.shape[1] == 2 else numbers_SC[:, 0]


def hard(labels: Tensor, error_below: float = 0.0) -> Tensor:
    """1 for sound steps and 0 for errors (see `is_error`); NaN stays NaN."""
    sound = (labels > 0.0) & (labels >= error_below)
    return torch.where(labels.isnan(), labels, sound.to(labels.dtype))


@dataclass(frozen=True, slots=True)
class StepObjective:
    """The mean of a loss over judged steps. of: log-odds and labels, both (N,), to losses (N,)."""

    of: StepLoss

    def items(self, targets: Targets) -> int:
        return int((~targets.labels.isnan()).sum())

    def total(self, numbers_SC: Tensor, targets: Targets) -> Tensor:
        judged = ~targets.labels.isnan()
        return self.of(log_odds(numbers_SC)[judged], targets.labels[judged]).sum()


def cross_entropy(positive_weight: float = 1.0, error_below: float = 0.0) -> StepObjective:
    """positive_weight: how much a sound step counts beside a wrong one. error_below: labels under it are errors."""

    def of(odds: Tensor, labels: Tensor) -> Tensor:
        weight = odds.new_tensor(positive_weight)
        return binary_cross_entropy_with_logits(odds, hard(labels, error_below), pos_weight=weight, reduction="none")

    return StepObjective(of)


def soft_cross_entropy(positive_weight: float = 1.0) -> StepObjective:
    """As `cross_entropy`, with labels between 0 and 1 taken as they are."""

    def of(odds: Tensor, labels: Tensor) -> Tensor:
        weight = odds.new_tensor(positive_weight)
        return binary_cross_entropy_with_logits(odds, labels, pos_weight=weight, reduction="none")

    return StepObjective(of)


def squared_error(positive_weight: float = 1.0) -> StepObjective:
    """(probability - label)^2; a step counts `positive_weight` as far as its label is 1."""

    def of(odds: Tensor, labels: Tensor) -> Tensor:
        weights = 1.0 + (positive_weight - 1.0) * labels
        return weights * mse_loss(odds.sigmoid(), labels, reduction="none")

    return StepObjective(of)
