"""PQM's ranking loss: every sound step above all wrong ones by a margin, and not below those that came before it.

Source: WindyLee0822/Process_Q_Model, "Process Reward Model with Q-Value Rankings", arXiv 2410.11287. For sound steps
c_1..c_m and wrong steps w of one solution

    L = -(1/m) sum_i log( exp(Q_ci) / (exp(0) + sum_{q<=i} exp(Q_cq) + sum_w exp(Q_w + zeta)) )

The first state, of value 0, is always in the denominator; it has a term of its own, as another sound step, if any step
is wrong. The authors add 1e-5 to the denominator; here the logarithm of the quotient is a difference of log-sums,
which cannot overflow and needs none. tests/golden/pqm_loss.json holds what their `PQM_loss` returns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stepscore_service.jobs.modeling.objective import Targets
from stepscore_service.jobs.modeling.objectives.steps import hard, log_odds


@dataclass(frozen=True, slots=True)
class RankingLoss:
    """The mean over solutions that hold a judged step. zeta: the margin between sound and wrong."""

    zeta: float = 4.0
    error_below: float = 0.0

    def items(self, targets: Targets) -> int:
        return sum(bool((~labels.isnan()).any()) for labels in targets.per_solution(targets.labels))

    def total(self, numbers_SC: Tensor, targets: Targets) -> Tensor:
        values = targets.per_solution(log_odds(numbers_SC))
        labels = targets.per_solution(hard(targets.labels, self.error_below))
        losses = [self._of_solution(*pair) for pair in zip(values, labels, strict=True)]
        return torch.stack(losses).sum()

    def _of_solution(self, values: Tensor, labels: Tensor) -> Tensor:
        sound, wrong = values[labels == 1.0], values[labels == 0.0]
        if not len(sound) and not len(wrong):
            return values.sum() * 0.0
        states = torch.cat([sound.new_zeros(1), sound])
        so_far = states.logcumsumexp(0)
        below = (wrong + self.zeta).logsumexp(0) if len(wrong) else so_far.new_tensor(-torch.inf)
        losses = torch.logaddexp(so_far, below) - states
        return (losses if len(wrong) else losses[1:]).mean()
