"""One process's whole model out of a run whose weights were spread over several."""

from __future__ import annotations

import torch

from stepscore_service.jobs.train.build import Trainee, build
from stepscore_service.jobs.train.plan import Plan
from stepscore_service.jobs.train.trainer import StepTrainer


def whole(trainer: StepTrainer, trainee: Trainee, plan: Plan) -> Trainee:
    """The trainee itself, or under FSDP and DeepSpeed one built again that holds the gathered weights.

    Every process must call this, since all take part in gathering; the first one's result is the model.
    """
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return trainee
    gathered = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return trainee
    fresh = build(plan)
    with torch.no_grad():
        for name, parameter in fresh.model.named_parameters():
            parameter.copy_(gathered[name])
    return fresh
