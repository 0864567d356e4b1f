"""The options of `stepscore train`, so that the command itself can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

DATA, LEARN = "Data", "Learning"

Inputs = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="labelled solutions; folders of `stepscore label` too")
]
Out = Annotated[Path, typer.Option(help="folder for the checkpoint; `stepscore serve --model DIR` reads it")]
Base = Annotated[
    str, typer.Option(help="causal language model to start from: a folder, a Hub id, smollm2 or qwen2.5-coder-0.5b")
]
OutputName = Annotated[
    Literal["qwen_math", "token_classification", "value_head", "pqm", "number_logprob", "implicit"],
    typer.Option(help="convention in which the checkpoint is written"),
]
Objective = Annotated[
    Literal["cross-entropy", "soft", "mse", "pqm", "orm", "implicit"], typer.Option(help="what is minimised")
]
AfterError = Annotated[
    Literal["masked", "kept", "zeroed"] | None,
    typer.Option(help="labels after the first error: left out, kept, all wrong; default masked, for pqm kept"),
]
ErrorBelow = Annotated[float, typer.Option(min=0.0, max=1.0, help="labels under this are errors; 0 always is one")]
PositiveWeight = Annotated[float, typer.Option(min=0.0, help="how much a sound step counts beside a wrong one")]
LmWeight = Annotated[float, typer.Option(min=0.0, help="weight of the language-model loss beside the step loss")]
LmOnly = Annotated[bool, typer.Option("--lm-only", help="train a policy: only its language model, on the solutions")]
Zeta = Annotated[float, typer.Option(help="margin of --objective pqm")]
Beta = Annotated[float, typer.Option(help="factor of the log-ratio of --objective implicit")]
Resume = Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint in DIR")]

FormatName = Annotated[
    str,
    typer.Option("--format", help="auto, trl, prm800k, math_shepherd, rlhflow, processbench", rich_help_panel=DATA),
]
Neutral = Annotated[
    Literal["good", "bad"], typer.Option(help="what PRM800K's rating 0 counts as", rich_help_panel=DATA)
]
SkipBad = Annotated[int, typer.Option(min=0, help="unusable rows that are passed over", rich_help_panel=DATA)]
EvalShare = Annotated[
    float, typer.Option(min=0.0, max=0.9, help="share of problems held out for evaluation", rich_help_panel=DATA)
]

Epochs = Annotated[float, typer.Option(min=0.0, help="passes over the data", rich_help_panel=LEARN)]
Steps = Annotated[int, typer.Option(min=0, help="optimiser steps; 0 goes by --epochs", rich_help_panel=LEARN)]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch", min=1, help="of a forward: solutions, or problems (--share-prefixes)", rich_help_panel=LEARN
    ),
]
Accumulate = Annotated[int, typer.Option(min=1, help="forwards of an optimiser step", rich_help_panel=LEARN)]
Rate = Annotated[
    float, typer.Option("--learning-rate", min=0.0, help="default 1e-5, with --lora 2e-4", rich_help_panel=LEARN)
]
LoraRank = Annotated[
    int, typer.Option("--lora", min=0, help="rank of adapters; 0 trains all weights", rich_help_panel=LEARN)
]
MaxTokens = Annotated[
    int, typer.Option(min=0, help="longer solutions are left out; 0 is the base's limit", rich_help_panel=LEARN)
]
Packing = Annotated[bool, typer.Option(help="several solutions in a row instead of padding", rich_help_panel=LEARN)]
Sharing = Annotated[
    bool,
    typer.Option(
        "--share-prefixes",
        help="compute once what solutions of a problem begin with",
        rich_help_panel=LEARN,
    ),
]
Bf16 = Annotated[bool, typer.Option("--bf16", help="products in bfloat16", rich_help_panel=LEARN)]
Checkpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="less memory, a third more work", rich_help_panel=LEARN)
]
EvalSteps = Annotated[int, typer.Option(min=0, help="steps between evaluations; 0: at the end", rich_help_panel=LEARN)]
SaveSteps = Annotated[int, typer.Option(min=1, help="steps between checkpoints", rich_help_panel=LEARN)]
Seed = Annotated[int, typer.Option(help="the same seed gives the same weights", rich_help_panel=LEARN)]
