"""What a user may say about a labelling run. The flags of `stepscore label` are generated from these fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from typer import Option

from stepscore_service.jobs.runs.source import ColumnsFlag

LabelKind = Literal["hard", "soft"]


@dataclass(frozen=True, slots=True)
class MethodOptions:
    """How steps are labelled; each method reads what it needs."""

    name: Annotated[
        str, Option("--method", help="monte-carlo, binary-search, omega, check:arithmetic, check:coq", metavar="NAME")
    ] = "monte-carlo"
    samples: Annotated[int, Option(min=0, help="solutions that the policy writes if a row has none")] = 0
    k: Annotated[int, Option("--k", "-k", min=1, help="rollouts of each prefix")] = 8
    labels: Annotated[LabelKind, Option(help="hard: any rollout is right; soft: the share of right ones")] = "hard"
    stop_at_zero: Annotated[
        bool, Option("--stop-at-zero", help="monte-carlo: no rollouts after the first step without a right one")
    ] = False
    judged_only: Annotated[
        bool,
        Option("--judged-only", help="leave truncated and unreadable rollouts out; by default they count as not right"),
    ] = False
    searches: Annotated[int, Option(min=1, help="omega: searches of each problem")] = 100
    budget: Annotated[int, Option(min=1, help="omega: rollouts of a problem after which its search stops")] = 1000
    verifier: Annotated[str, Option(help="how answers are checked: math, numeric, exact, code", metavar="NAME")] = (
        "math"
    )
    split: Annotated[str, Option(help="how a solution given as text is split into steps")] = "auto"
    join: Annotated[str, Option(help=r"text between given steps in the prompt; \n is a line break")] = r"\n"

    @property
    def separator(self) -> str:
        return self.join.replace(r"\n", "\n")


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """Which labelled rows are kept; the others are written to separate files."""

    consensus: Annotated[
        str, Option(metavar="MODEL", help="keep only rows whose first error this model sees at the same step")
    ] = ""
    threshold: Annotated[float | None, Option(help="with --consensus: a reward below it is an error")] = None
    error_below: Annotated[
        float, Option(min=0.0, max=1.0, help="soft labels below it count as errors; 0 always is one")
    ] = 0.0
    drop_unsolved: Annotated[
        bool, Option("--drop-unsolved", help="move the rows of problems that no rollout solves to files of their own")
    ] = False


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Which policy makes rollouts, and how it samples."""

    PANEL: ClassVar[str] = "Policy"

    generator: Annotated[str, Option(help="transformers, vllm or openai:URL#NAME", metavar="GENERATOR")] = (
        "transformers"
    )
    model: Annotated[str, Option(help="the policy: a folder or a Hub id", metavar="MODEL")] = ""
    prompt: Annotated[
        str, Option(metavar="TEXT", help="prompt of the policy, with {problem}; its chat template by default")
    ] = ""
    temperature: Annotated[float, Option(min=0.0, help="sampling temperature of rollouts and solutions")] = 0.7
    top_p: Annotated[
        float, Option(min=0.0, max=1.0, help="sample from the likeliest tokens with this total probability")
    ] = 1.0
    top_k: Annotated[int, Option(min=0, help="sample from this many likeliest tokens; 0 takes all")] = 0
    rollout_tokens: Annotated[int, Option(min=1, help="longest rollout in tokens")] = 512
    stop: Annotated[tuple[str, ...], Option(help="text that ends a rollout (may be given several times)")] = ()
    seed: Annotated[int, Option(help="the same seed gives the same labels")] = 0
    at_once: Annotated[int, Option(min=1, help="rollouts in one call of the generator")] = 64


@dataclass(frozen=True, slots=True)
class LabelRunOptions:
    """Where a run writes, how much it reads, and where it computes."""

    out: Annotated[Path, Option(help="folder for shards of labels and their manifest")]
    columns: ColumnsFlag = ""
    shard_problems: Annotated[int, Option(min=1, help="problems in a shard, the most that a kill can lose")] = 16
    rollouts: Annotated[bool, Option("--rollouts", help="also write the rollouts themselves")] = False
    limit: Annotated[int, Option(min=0, help="only the first rows; 0 takes all")] = 0
    skip_bad: Annotated[int, Option(min=0, help="how many unusable rows are passed over")] = 0
    ray: Annotated[str | None, Option(metavar="ADDRESS", help="a Ray cluster: its address, `auto`, or `local`")] = None
    workers: Annotated[int, Option(min=1, help="with --ray: processes, each with its own policy")] = 1
