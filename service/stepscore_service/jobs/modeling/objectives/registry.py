"""The objective of a plan."""

from __future__ import annotations

from collections.abc import Callable

from stepscore_service.jobs.modeling.objective import Objective
from stepscore_service.jobs.modeling.objectives.implicit import OutcomeLogRatio
from stepscore_service.jobs.modeling.objectives.no_step_loss import NoStepLoss
from stepscore_service.jobs.modeling.objectives.pqm import RankingLoss
from stepscore_service.jobs.modeling.objectives.steps import cross_entropy, soft_cross_entropy, squared_error
from stepscore_service.jobs.modeling.plan import ObjectiveName, TrainPlan

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
