"""The implicit PRM's loss: an outcome label on the whole answer's log-ratio; no step is ever judged.

Source: "Free Process Rewards without Process Labels", arXiv 2412.01981: with q_t = log pi(t) - log pi_ref(t),

    L = BCE( sigmoid( beta * sum_t q_t ), outcome )

over the tokens that the family reads, so that the trained sum is the one that is served for the last step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from stepscore_service.jobs.modeling.objective import Targets


@dataclass(frozen=True, slots=True)
class OutcomeLogRatio:
    """The mean over solutions with a known outcome. numbers_SC: the log-probabilities of policy and reference."""

    beta: float = 0.05

    def items(self, targets: Targets) -> int:
        return int((~targets.outcomes.isnan()).sum())

    def total(self, numbers_SC: Tensor, targets: Targets) -> Tensor:
        sums_B = torch.stack([q_S.sum() for q_S in targets.per_solution(numbers_SC[:, 0] - numbers_SC[:, 1])])
        known_B = ~targets.outcomes.isnan()
        logits, outcomes = self.beta * sums_B[known_B], targets.outcomes[known_B]
        return binary_cross_entropy_with_logits(logits, outcomes, reduction="sum")
