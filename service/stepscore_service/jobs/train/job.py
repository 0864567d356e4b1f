"""The run: data in, checkpoints on the way, a folder that the service reads at the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors import SafetensorError
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from stepscore.errors import InvalidInput
from stepscore_service.jobs.modeling.allocator import map_large_blocks
from stepscore_service.jobs.modeling.attention import avoid_cudnn_attention
from stepscore_service.jobs.modeling.batch import collator
from stepscore_service.jobs.modeling.build import TrainSetup, build
from stepscore_service.jobs.modeling.example import Example
from stepscore_service.jobs.modeling.plan import Learning, TrainPlan
from stepscore_service.jobs.modeling.prefix_tree import ExampleRow, rows_of
from stepscore_service.jobs.modeling.saving import save
from stepscore_service.jobs.runs.manifest import read_manifest, write_manifest
from stepscore_service.jobs.train.data import TrainData, check_labels, check_outcomes, check_soft_labels
from stepscore_service.jobs.train.progress import Stopping, TrainProgress
from stepscore_service.jobs.train.trainer import Losses, StepTrainer, TrainingError

CHECKPOINTS = "checkpoints"
LOGS = "logs"
MANIFEST = "training.json"
TREE = 2048
"""Tokens of a row in which solutions share what they begin with; attention over it is quadratic."""


@dataclass(frozen=True, slots=True)
class TrainRun:
    """out: the checkpoint's folder. inputs: what identifies the data. resume: go on from the last checkpoint."""

    out: Path
    inputs: Mapping[str, Any]
    resume: bool = False

    def prepare(self, plan: TrainPlan) -> None:
        """Make the folder, or check that it holds this very run. Raises InvalidInput, TrainingError.

        Of several processes only the first does, or the others would find a run in the folder.
        """
        if not is_first_process():
            return
        manifest = self.out / MANIFEST
        identity = json.loads(json.dumps({"plan": plan.identity(), "inputs": self.inputs}))
        if manifest.is_file():
            before = read_manifest(manifest)
            self._check_same(before["run"], identity)
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            write_manifest(manifest, {"run": identity, "made_by": versions(), "state": "running"})
        except OSError as error:
            raise TrainingError(f"cannot write {self.out}: {error.strerror}", path=str(self.out)) from error

    def last_checkpoint(self) -> str | None:
        """The newest whole one: the trainer's state is written last, so a torn checkpoint has none."""
        whole = [state.parent for state in (self.out / CHECKPOINTS).glob("checkpoint-*/trainer_state.json")]
        newest = max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
        return str(newest) if self.resume and newest else None

    def _check_same(self, before: Any, now: Any) -> None:
        if not self.resume:
            raise InvalidInput(f"{self.out} holds a run already; --resume continues it, or choose another --out")
        if before != now:
            raise InvalidInput(f"{self.out} holds a run with other settings or data; choose another --out")


def train(plan: TrainPlan, setup: TrainSetup, data: TrainData, run: TrainRun, console: Console) -> bool:
    """Train and write the checkpoint. Whether it came to its end; a stopped run leaves a checkpoint to go on from.

    Raises InvalidInput if nothing can be learnt, TrainingError.
    """
    check(plan, data)
    map_large_blocks()
    avoid_cudnn_attention()
    started = time.monotonic()
    try:
        with (
            Stopping(console.print) as stopping,
            TrainProgress(console) as progress,
            SummaryWriter(str(run.out / LOGS)) as writer,
        ):
            callbacks = [stopping, progress, TensorBoardCallback(writer)]  # type: ignore[no-untyped-call]
            trainer = trainer_of(plan, setup, data, run, callbacks)
            if plan.learning.normalize_head:
                trainer.normalize_head()
            result = trainer.train(resume_from_checkpoint=run.last_checkpoint())
            if stopping.asked and trainer.state.global_step < trainer.state.max_steps:
                return False
            trainer.check_last_step()
            found = trainer.evaluate() if data.held_out else {}
            finished = gather_full_weights(trainer, setup, plan)
        if trainer.is_world_process_zero():
            save(finished, run.out)
            _finish(run.out, data, {**found, **result.metrics, "wall_seconds": round(time.monotonic() - started, 1)})
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"cannot write {run.out}: {error}; the last whole checkpoint is kept") from error
    return True


def check(plan: TrainPlan, data: TrainData) -> None:
    """Raises InvalidInput if the data teach this objective nothing."""
    if plan.objective == "implicit":
        check_outcomes(data.train)
    elif plan.objective in ("soft", "mse"):
        check_soft_labels(data.train)
    elif plan.objective != "lm":
        check_labels(data.train, plan.error_below)


def trainer_of(
    plan: TrainPlan,
    setup: TrainSetup,
    data: TrainData,
    run: TrainRun,
    callbacks: list[Any],
) -> StepTrainer:
    lm_weight = 1.0 if plan.objective == "lm" else plan.lm_weight
    trainer = StepTrainer(
        setup.model,
        arguments(plan, run.out, bool(data.held_out)),
        Losses(setup.objective, lm_weight),
        collator(setup.objective, plan.learning.layout),
        rows(data.train, plan.learning),
        rows(data.held_out, plan.learning),
        callbacks,
        plan.error_below,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def rows(examples: Sequence[Example], learning: Learning) -> Sequence[ExampleRow]:
    return list(rows_of(examples, TREE)) if learning.layout == "shared" else [(example,) for example in examples]


def arguments(plan: TrainPlan, out: Path, held_out: bool) -> TrainingArguments:
    learning = plan.learning
    evaluates = held_out and learning.eval_steps > 0
    return TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        num_train_epochs=learning.epochs,
        max_steps=learning.steps or -1,
        per_device_train_batch_size=learning.batch,
        per_device_eval_batch_size=learning.batch,
        gradient_accumulation_steps=learning.accumulate,
        learning_rate=plan.rate,
        warmup_steps=learning.warmup,
        weight_decay=learning.weight_decay,
        lr_scheduler_type="cosine",
        bf16=learning.bf16,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=learning.eval_steps or None,
        save_steps=learning.save_steps,
        save_total_limit=2,
        logging_steps=1,  # a short run would end before the tenth
        logging_nan_inf_filter=False,  # what is not a number ends the run
        seed=learning.seed,
        data_seed=learning.seed,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
    )


def _finish(out: Path, data: TrainData, metrics: Mapping[str, Any]) -> None:
    manifest = read_manifest(out / MANIFEST)
    counts = {
        "solutions": len(data.train),
        "held_out": len(data.held_out),
        "tokens": data.tokens,
        "left_out": dict(data.left_out),
    }
    write_manifest(out / MANIFEST, manifest | {"state": "finished", "data": counts, "metrics": dict(metrics)})


def is_first_process() -> bool:
    """Of the run's processes; the launcher numbers them."""
    return count_processes() == 1 or os.environ.get("RANK", "0") == "0"


def count_processes() -> int:
    """Of the run, as the launcher says it."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("stepscore", "torch", "transformers", "accelerate", "peft")}


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
        for name, buffer in fresh.model.named_buffers():
            buffer.copy_(gathered.get(name, buffer))
    return fresh
