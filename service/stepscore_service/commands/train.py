"""`stepscore train`: a checkpoint out of labelled solutions."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from stepscore_service.commands.flags import with_options
from stepscore_service.jobs.modeling.plan import Learning, Lora, TrainPlan
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.train.options import TrainRunOptions

NEEDED = ("accelerate", "peft", "scipy", "tensorboard")

LabelledFiles = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="labelled solutions; also folders that `stepscore label` wrote")
]


@with_options
def train(files: LabelledFiles, *, plan: TrainPlan, options: TrainRunOptions, lora: Lora, learning: Learning) -> None:
    """Train a process reward model on labelled solutions.

    DIR is a checkpoint that `stepscore serve --model DIR` reads; checkpoints/, logs/ (TensorBoard) and training.json
    are beside the weights. Ctrl-C saves a checkpoint, from which the same command with --resume continues. On several
    GPUs: `accelerate launch -m stepscore_service.commands.cli train ...` (docs/jobs.md).
    """
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        console.fail(f"train needs {', '.join(lacking)}: pip install 'stepscore[train]'")
    from stepscore_service.jobs.train.run import run  # loads torch, which `--help` need not wait for

    whole = replace(plan, lora=lora, learning=learning)
    run(replace(whole, output="causal", objective="lm") if options.lm_only else whole, files, options)
