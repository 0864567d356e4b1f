"""What a training run is asked to do. No torch here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from typer import Option

from stepscore.errors import InvalidInput
from stepscore_service.jobs.modeling.targets import AfterError

BATCHES = "Batches"
"""The heading of some flags in the help."""

RowLayout = Literal["packed", "padded", "shared"]
ObjectiveName = Literal["cross-entropy", "soft", "mse", "pqm", "orm", "implicit", "lm"]


@dataclass(frozen=True, slots=True)
class Lora:
    """rank 0 trains all weights. alpha 0 is twice the rank."""

    PANEL: ClassVar[str] = "Learning"

    rank: Annotated[int, Option("--lora", min=0, help="rank of adapters; 0 trains all weights")] = 0
    alpha: int = 0
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class Learning:
    """accumulate: forwards of one optimiser step. warmup: share of the steps. rate 0 is the plan's default."""

    PANEL: ClassVar[str] = "Learning"

    epochs: Annotated[float, Option(min=0.0, metavar="NUMBER", help="passes over the data")] = 1.0
    steps: Annotated[int, Option(min=0, help="optimiser steps; 0 follows --epochs")] = 0
    batch: Annotated[
        int,
        Option(
            min=1,
            help="solutions in a forward on one device; with --share-prefixes, problems",
            rich_help_panel=BATCHES,
        ),
    ] = 8
    accumulate: Annotated[int, Option(min=1, help="forwards of an optimiser step", rich_help_panel=BATCHES)] = 1
    rate: Annotated[
        float, Option("--learning-rate", min=0.0, metavar="NUMBER", help="0 takes 1e-5, with --lora 2e-4")
    ] = 0.0
    warmup: float = 0.03
    weight_decay: float = 0.0
    max_tokens: Annotated[int, Option(min=0, help="longer solutions are left out; 0 is the base's limit")] = 0
    packing: Annotated[bool, Option(help="several solutions in a row instead of padding", rich_help_panel=BATCHES)] = (
        True
    )
    share_prefixes: Annotated[
        bool,
        Option(
            "--share-prefixes",
            help="compute the common beginning of a problem's solutions once",
            rich_help_panel=BATCHES,
        ),
    ] = False
    bf16: Annotated[bool, Option("--bf16", help="products in bfloat16")] = False
    checkpointing: Annotated[bool, Option("--gradient-checkpointing", help="less memory, a third more work")] = False
    normalize_head: Annotated[
        bool,
        Option(
            "--normalize-head",
            help="the head learns from hidden states with mean 0 and deviation 1; DIR's takes them as they are",
        ),
    ] = False
    compile: Annotated[bool, Option("--compile", help="compile the layers: slow to start, then faster")] = False
    eval_steps: Annotated[int, Option(min=0, help="steps between evaluations; 0 evaluates at the end only")] = 0
    save_steps: Annotated[int, Option(min=1, help="steps between checkpoints")] = 500
    seed: Annotated[int, Option(help="the same seed gives the same weights")] = 0

    @property
    def layout(self) -> RowLayout:
        if self.share_prefixes:
            return "shared"
        return "packed" if self.packing else "padded"


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """Everything that the weights depend on, but for the data.

    after_error: None is "kept" for PQM, whose loss ranks every wrong step, and "masked" for all others.
    """

    base: Annotated[str, Option(help="causal language model to start from: a folder, a Hub id, or smollm2")]
    output: Annotated[
        str,
        Option(
            help="how the checkpoint is written: qwen_math, token_classification, value_head, pqm, number_logprob, "
            "implicit"
        ),
    ] = "qwen_math"
    objective: Annotated[ObjectiveName, Option(help="what is minimised")] = "cross-entropy"
    after_error: Annotated[
        AfterError | None,
        Option(help="labels after the first error: left out, kept, all wrong; default masked, for pqm kept"),
    ] = None
    error_below: Annotated[float, Option(min=0.0, max=1.0, help="labels below it are errors; 0 always is one")] = 0.0
    positive_weight: Annotated[float, Option(min=0.0, help="how much a sound step counts beside a wrong one")] = 1.0
    lm_weight: Annotated[float, Option(min=0.0, help="weight of the language model's loss beside the step loss")] = 0.0
    zeta: Annotated[float, Option(help="margin of --objective pqm")] = 4.0
    beta: Annotated[float, Option(help="factor of the log-ratio of --objective implicit")] = 0.05
    lora: Lora = field(default_factory=Lora)
    learning: Learning = field(default_factory=Learning)

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.learning.rate or (2e-4 if self.lora.rank else 1e-5)

    @property
    def labels_after_error(self) -> AfterError:
        return self.after_error or ("kept" if self.objective == "pqm" else "masked")

    def check(self) -> None:
        """Raises InvalidInput if two choices contradict each other."""
        if (self.objective == "implicit") != (self.output == "implicit"):
            raise InvalidInput("--objective implicit needs --output implicit, and the other way round")
        if self.objective == "lm" and self.output != "causal":
            raise InvalidInput("a language model alone is written as --output causal")

    def identity(self) -> dict[str, Any]:
        """As it is written beside the weights and compared when a run is resumed."""
        return asdict(self) | {"after_error": self.labels_after_error, "rate": self.rate}
