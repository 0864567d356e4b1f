"""One process's whole model out of a run whose weights were spread over several."""

from __future__ import annotations

import torch

from stepscore_service.jobs.modeling.build import TrainSetup, build
from stepscore_service.jobs.modeling.plan import TrainPlan
from stepscore_service.jobs.train.trainer import StepTrainer


def gather_full_weights(trainer: StepTrainer, setup: TrainSetup, plan: TrainPlan) -> TrainSetup:
    """The setup itself, or under FSDP and DeepSpeed one built again that holds the gathered weights.

    Every process must call this, since all take part in gathering; the first one's result is the model.
    """
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return setup
    gathered = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return setup
    fresh = build(plan)
    with torch.no_grad():
        for name, parameter in fresh.model.named_parameters():
            parameter.copy_(gathered[name])
    return fresh
