"""How well a model in training separates sound steps from wrong ones, on solutions that it does not see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import TrainingArguments

from stepscore_service.jobs.metrics.separation import auroc
from stepscore_service.jobs.modeling.batch import Collate
from stepscore_service.jobs.modeling.objectives.steps import hard, log_odds
from stepscore_service.jobs.modeling.prefix_tree import ExampleRow


@torch.no_grad()
def measure(
    model: Any, examples: Sequence[ExampleRow], collate: Collate, args: TrainingArguments, error_below: float = 0.0
) -> dict[str, float]:
    """AUROC and accuracy of judged steps, and the loss per predicted token; only those that are defined."""
    was_training = model.training
    model.eval()
    odds: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    predicted, predictions = 0.0, 0
    for start in range(0, len(examples), args.per_device_eval_batch_size):
        batch = collate(examples[start : start + args.per_device_eval_batch_size]).to(args.device)
        numbers_SC, loss = model(batch)
        judged = ~batch.targets.labels.isnan()
        odds.append(log_odds(numbers_SC)[judged].float().cpu())
        labels.append(hard(batch.targets.labels[judged], error_below).cpu())
        predicted, predictions = predicted + float(loss), predictions + batch.predictions
    model.train(was_training)
    of_steps = _of_steps(torch.cat(odds).numpy(), torch.cat(labels).numpy()) if odds else {}
    return of_steps | ({"lm_loss": predicted / predictions} if predictions else {})


def _of_steps(odds: Any, labels: Any) -> dict[str, float]:
    if not len(odds):
        return {}
    good = labels == 1.0
    area = auroc(good, odds.astype(np.float64))
    return {"accuracy": float(((odds >= 0) == good).mean()), "steps": len(odds)} | ({"auroc": area} if area else {})
