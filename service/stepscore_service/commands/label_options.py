"""The options of `stepscore label`, so that the command itself can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

File = Annotated[
    str, typer.Argument(metavar="FILE.jsonl", help="problems with answers, and solutions if there are any")
]
Out = Annotated[Path, typer.Option(help="folder for shards of labels and their manifest")]
MethodName = Annotated[
    str, typer.Option(help="monte-carlo, binary-search, omega, check:arithmetic or check:coq", metavar="NAME")
]
Samples = Annotated[int, typer.Option(min=0, help="solutions that the policy writes where a row brings none")]
K = Annotated[int, typer.Option("--k", "-k", min=1, help="rollouts of each prefix")]
Kind = Annotated[
    Literal["hard", "soft"], typer.Option("--labels", help="hard: any rollout right; soft: the share of right ones")
]
StopAtZero = Annotated[bool, typer.Option(help="monte-carlo: no rollouts behind the first step without a right one")]
Searches = Annotated[int, typer.Option(min=1, help="omega: searches of a problem")]
Budget = Annotated[int, typer.Option(min=1, help="omega: rollouts of a problem after which it stops")]
Verifier = Annotated[str, typer.Option(help="how answers are checked: math, numeric, exact, code", metavar="NAME")]
Consensus = Annotated[
    str, typer.Option(metavar="MODEL", help="keep only rows whose first error this model sees at the same step")
]
Threshold = Annotated[float | None, typer.Option(help="of --consensus: its rewards under this are errors")]
ErrorBelow = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="soft labels under this count as errors; 0 always is one")
]
JudgedOnly = Annotated[
    bool,
    typer.Option("--judged-only", help="truncated and unreadable rollouts count neither way; by default not right"),
]

DropUnsolved = Annotated[bool, typer.Option("--drop-unsolved", help="put rows apart whose problem no rollout solves")]

GeneratorName = Annotated[
    str, typer.Option(help="transformers, vllm or openai:URL#NAME", metavar="GENERATOR", rich_help_panel="Policy")
]
Model = Annotated[str, typer.Option(help="the policy: a folder or a Hub id", metavar="MODEL", rich_help_panel="Policy")]
PromptText = Annotated[
    str,
    typer.Option(
        metavar="TEXT", help="how the policy is asked, with {problem}; default a chat message", rich_help_panel="Policy"
    ),
]
Temperature = Annotated[float, typer.Option(min=0.0, rich_help_panel="Policy", help="of rollouts and solutions")]
TopP = Annotated[float, typer.Option(min=0.0, max=1.0, rich_help_panel="Policy", help="nucleus of the sampling")]
TopK = Annotated[
    int, typer.Option(min=0, rich_help_panel="Policy", help="the likeliest tokens that are kept; 0 is all")
]
Tokens = Annotated[int, typer.Option("--rollout-tokens", min=1, rich_help_panel="Policy", help="longest rollout")]
Stop = Annotated[
    list[str] | None, typer.Option(rich_help_panel="Policy", help="text that ends a rollout (may be given again)")
]
Seed = Annotated[int, typer.Option(rich_help_panel="Policy", help="the same seed gives the same labels")]
AtOnce = Annotated[int, typer.Option(min=1, rich_help_panel="Policy", help="rollouts of one call of the generator")]

Split = Annotated[str, typer.Option(help="how a solution given as text is split into steps")]
Join = Annotated[str, typer.Option(help=r"what parts given steps where the policy reads them; \n is a line break")]
ShardProblems = Annotated[int, typer.Option(min=1, help="problems of a shard: what a kill can lose")]
Rollouts = Annotated[bool, typer.Option("--rollouts", help="also write the rollouts themselves")]
Limit = Annotated[int, typer.Option(min=0, help="only the first rows; 0 takes all")]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="label on a Ray cluster: its address, `auto`, or `local`")
]
Workers = Annotated[int, typer.Option(min=1, help="of --ray: processes, each with its own policy")]
