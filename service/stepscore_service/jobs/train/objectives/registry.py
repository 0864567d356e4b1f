"""The objective of a plan."""

from __future__ import annotations

from collections.abc import Callable

from stepscore_service.jobs.train.objective import Objective
from stepscore_service.jobs.train.objectives.implicit import OutcomeLogRatio
from stepscore_service.jobs.train.objectives.nothing import Nothing
from stepscore_service.jobs.train.objectives.pqm import RankingLoss
from stepscore_service.jobs.train.objectives.steps import cross_entropy, soft_cross_entropy, squared_error
from stepscore_service.jobs.train.plan import ObjectiveName, Plan

OBJECTIVES: dict[ObjectiveName, Callable[[Plan], Objective]] = {
    "cross-entropy": lambda plan: cross_entropy(plan.positive_weight, plan.error_below),
    "soft": lambda plan: soft_cross_entropy(plan.positive_weight),
    "mse": lambda plan: squared_error(plan.positive_weight),
    "pqm": lambda plan: RankingLoss(plan.zeta, plan.error_below),
    "orm": lambda plan: cross_entropy(plan.positive_weight, plan.error_below),
    "implicit": lambda plan: OutcomeLogRatio(plan.beta),
    "lm": lambda plan: Nothing(),
}


def open_objective(plan: Plan) -> Objective:
    return OBJECTIVES[plan.objective](plan)
