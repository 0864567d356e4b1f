"""The objective of a plan."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from stepscore_service.jobs.modeling.objective import Objective, Targets
from stepscore_service.jobs.modeling.objectives.implicit import OutcomeLogRatio
from stepscore_service.jobs.modeling.objectives.pqm import RankingLoss
from stepscore_service.jobs.modeling.objectives.steps import cross_entropy, soft_cross_entropy, squared_error
from stepscore_service.jobs.modeling.plan import ObjectiveName, TrainPlan


class NoStepLoss:
    """No step objective: the language model alone is trained."""

    def items(self, targets: Targets) -> int:
        return 0

    def total(self, numbers_SC: Tensor, targets: Targets) -> Tensor:
        return numbers_SC.sum() * 0.0


OBJECTIVES: dict[ObjectiveName, Callable[[TrainPlan], Objective]] = {
    "cross-entropy": lambda plan: cross_entropy(plan.positive_weight, plan.error_below),
    "soft": lambda plan: soft_cross_entropy(plan.positive_weight),
    "mse": lambda plan: squared_error(plan.positive_weight),
    "pqm": lambda plan: RankingLoss(plan.zeta, plan.error_below),
    "orm": lambda plan: cross_entropy(plan.positive_weight, plan.error_below),
    "implicit": lambda plan: OutcomeLogRatio(plan.beta),
    "lm": lambda plan: NoStepLoss(),
}


def open_objective(plan: TrainPlan) -> Objective:
    return OBJECTIVES[plan.objective](plan)
