"""transformers' Trainer over packed batches: losses normalised over all that an optimiser step sees."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Trainer, TrainingArguments

from stepscore.errors import StepscoreError
from stepscore_service.jobs.metrics.separation import auroc
from stepscore_service.jobs.modeling.batch import Collate, TrainBatch
from stepscore_service.jobs.modeling.model import StepModel
from stepscore_service.jobs.modeling.objective import Objective
from stepscore_service.jobs.modeling.objectives.steps import hard, log_odds
from stepscore_service.jobs.modeling.prefix_tree import ExampleRow

TRAINED = "trained.safetensors"
"""In a checkpoint: the weights that are trained, and no others."""

NORMALIZED_BY = 64
"""Examples whose hidden states say how the head's input is scaled."""

MUST_BE_FINITE = {"loss": "the loss", "grad_norm": "the gradient"}


class TrainingError(StepscoreError):
    """A run ended on the way: the disk is full, the loss is not a number. detail: path, step."""

    code = "training_failed"


@dataclass(frozen=True, slots=True)
class Losses:
    """objective: over numbers at read positions. lm_weight: of the language-model loss beside it."""

    objective: Objective
    lm_weight: float

    def of(self, model: Any, batch: TrainBatch, counts_2: Tensor) -> Tensor:
        """counts_2: items and predicted tokens of the whole optimiser step, over all processes."""
        numbers_SC, predicted = model(batch)
        items, predictions = counts_2.clamp(min=1)
        steps: Tensor = self.objective.total(numbers_SC, batch.targets) / items
        whole: Tensor = steps + self.lm_weight * predicted / predictions
        return whole


class StepTrainer(Trainer):
    """Trains a StepModel on rows of examples.

    error_below: labels under it count as errors when it is measured. examples, held_out: what is trained on and what
    is measured on. tokens: how many a process has computed.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: StepModel,
        args: TrainingArguments,
        losses: Losses,
        collate: Collate,
        examples: Sequence[ExampleRow],
        held_out: Sequence[ExampleRow],
        callbacks: list[Any],
        error_below: float = 0.0,
    ) -> None:
        self._error_below = error_below
        self._measured: tuple[int, dict[str, float]] | None = None
        self._losses, self._collate, self._held_out = losses, collate, held_out
        super().__init__(
            model=model,
            args=args,
            data_collator=lambda chosen: {"batch": collate(chosen)},
            train_dataset=examples,
            eval_dataset=held_out or examples[:1],
            callbacks=callbacks,
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """The batches of an optimiser step, and what their losses are means over, summed over all processes."""
        batches = list(islice(epoch_iterator, num_batches))
        counts_2 = torch.zeros(2, dtype=torch.long)
        for inputs in batches:
            counts_2 += torch.tensor([inputs["batch"].items, inputs["batch"].predictions])
        summed: Tensor = self.accelerator.reduce(counts_2.to(device), reduction="sum")
        return batches, summed

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Times the number of processes, over which gradients are then averaged."""
        loss = self._losses.of(model, inputs["batch"], num_items_in_batch)
        return loss * self.accelerator.num_processes

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """After every step, before its checkpoint. Raises TrainingError if the step has spoilt the weights."""
        for name, what in MUST_BE_FINITE.items():
            if not math.isfinite(logs.get(name, 0.0)):
                raise _spoilt(what, self.state.global_step)
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """On every process alike, since a sharded model needs all of them for a forward. Once after each step."""
        step = self.state.global_step
        if self._measured is not None and self._measured[0] == step:
            return self._measured[1]
        found = self._measure(self._held_out)
        numbers = {f"eval_{name}": number for name, number in found.items()}
        self._measured = (step, numbers)
        self.log(numbers)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, numbers)
        return numbers

    def normalize_head(self) -> None:
        """By the first examples and the base as it is, so that a run that continues does the same. On every process."""
        assert self.train_dataset is not None
        assert isinstance(self.model, StepModel)
        device = next(self.model.parameters()).device  # of a model to be sharded: still the CPU
        with self.compute_loss_context_manager():
            self.model.normalize_head(
                self._collate([example]).to(device) for example in self.train_dataset[:NORMALIZED_BY]
            )

    def check_last_step(self) -> None:
        """No loss follows the last step, so one example is computed. On every process. Raises TrainingError."""
        assert self.train_dataset is not None
        self._measure(self.train_dataset[:1])

    def _measure(self, examples: Sequence[ExampleRow]) -> dict[str, float]:
        try:
            return measure(self.model_wrapped, examples, self._collate, self.args, self._error_below)
        except FloatingPointError as error:
            raise _spoilt("what is computed with the weights", self.state.global_step) from error

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Only what is trained: a frozen base is where it was, and tied tensors are written once."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        state = (
            self.trained_state()
            if state_dict is None
            else {k: v for k, v in state_dict.items() if k in self.trained_state()}
        )
        save_file({name: tensor.detach().contiguous() for name, tensor in state.items()}, folder / TRAINED)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        restore(self.model, Path(resume_from_checkpoint))

    def trained_state(self) -> dict[str, Tensor]:
        assert self.model is not None
        return {name: each for name, each in self.model.named_parameters() if each.requires_grad}


def _spoilt(what: str, step: int) -> TrainingError:
    return TrainingError(
        f"{what} of step {step} is not finite, so the weights are spoilt; the checkpoint before it is kept. "
        "Lower --learning-rate, or look for a solution that is out of the ordinary",
        step=step,
    )


def restore(model: Any, folder: Path) -> None:
    """Put a checkpoint's trained weights into the model they came from."""
    state = load_file(folder / TRAINED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(state[name])


@torch.no_grad()
def measure(
    model: Any, examples: Sequence[ExampleRow], collate: Collate, args: TrainingArguments, error_below: float = 0.0
) -> dict[str, float]:
    """AUROC and accuracy of judged steps, and the loss per predicted token; only those that are defined.

    Raises FloatingPointError if the model's numbers are not finite.
    """
    was_training = model.training
    model.eval()
    odds: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    predicted, predictions = 0.0, 0
    for start in range(0, len(examples), args.per_device_eval_batch_size):
        batch = collate(examples[start : start + args.per_device_eval_batch_size]).to(args.device)
        numbers_SC, loss = model(batch)
        if not (numbers_SC.isfinite().all() and loss.isfinite()):
            raise FloatingPointError("the model's numbers are not finite")
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
