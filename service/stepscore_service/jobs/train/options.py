"""What a training run reads and writes. With TrainPlan, Lora and Learning, these fields are the flags of `train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from typer import Option

from stepscore_service.jobs.runs.source import ColumnsFlag


@dataclass(frozen=True, slots=True)
class TrainRunOptions:
    """neutral: how PRM800K's rating 0 is read."""

    PANEL: ClassVar[str] = "Data"

    out: Annotated[Path, Option(help="folder for the checkpoint; `stepscore serve --model DIR` reads it")]
    lm_only: Annotated[bool, Option("--lm-only", help="train a policy: only the language model, on the solutions")] = (
        False
    )
    resume: Annotated[bool, Option("--resume", help="continue from the last checkpoint in DIR")] = False
    format: Annotated[
        str, Option(help="auto, trl, steps, prm800k, math_shepherd, rlhflow, processbench, reranked, scored")
    ] = "auto"
    columns: ColumnsFlag = ""
    neutral: Annotated[Literal["good", "bad"], Option(help="what PRM800K's rating 0 counts as")] = "good"
    skip_bad: Annotated[int, Option(min=0, help="how many unusable rows are passed over")] = 0
    eval_share: Annotated[float, Option(min=0.0, max=0.9, help="share of problems held out for evaluation")] = 0.05
