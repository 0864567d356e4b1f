"""What a training run is asked to do. No torch here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from stepscore.errors import InvalidInput
from stepscore_service.jobs.modeling.targets import AfterError

RowLayout = Literal["packed", "padded", "shared"]
ObjectiveName = Literal["cross-entropy", "soft", "mse", "pqm", "orm", "implicit", "lm"]


@dataclass(frozen=True, slots=True)
class Lora:
    """rank 0 trains all weights."""

    rank: int = 0
    alpha: int = 32
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class Learning:
    """batch: solutions (problems, where solutions share rows) of one forward on one device; accumulate: forwards of
    one optimiser step.

    steps: optimiser steps; 0 counts epochs. warmup: share of the steps. eval_steps, save_steps: optimiser steps
    between two evaluations and two checkpoints; eval_steps 0 evaluates at the end only.
    """

    epochs: float = 1.0
    steps: int = 0
    batch: int = 8
    accumulate: int = 1
    rate: float = 1e-5
    warmup: float = 0.03
    weight_decay: float = 0.0
    max_tokens: int = 0
    layout: RowLayout = "packed"
    bf16: bool = False
    checkpointing: bool = False
    eval_steps: int = 0
    save_steps: int = 500
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """Everything that the weights depend on, but for the data.

    after_error: None is "kept" for PQM, whose loss ranks every wrong step, and "masked" for all others.
    error_below: labels under it are errors; 0 always is. lm_weight: of the language-model loss on the answer beside
    the step loss. zeta: PQM's margin. beta: of the log-ratio of an implicit PRM.
    """

    base: str
    output: str = "qwen_math"
    objective: ObjectiveName = "cross-entropy"
    after_error: AfterError | None = None
    error_below: float = 0.0
    positive_weight: float = 1.0
    lm_weight: float = 0.0
    zeta: float = 4.0
    beta: float = 0.05
    lora: Lora = field(default_factory=Lora)
    learning: Learning = field(default_factory=Learning)

    @property
    def labels_after_error(self) -> AfterError:
        return self.after_error or ("kept" if self.objective == "pqm" else "masked")

    def check(self) -> None:
        """Raises InvalidInput where two choices do not go together."""
        if (self.objective == "implicit") != (self.output == "implicit"):
            raise InvalidInput("--objective implicit and --output implicit go together: no other output has no head")
        if self.output == "number_logprob" and self.objective not in ("cross-entropy", "soft", "mse"):
            raise InvalidInput("--output number_logprob is learnt from labels of steps: cross-entropy, soft or mse")
        if self.objective == "lm" and self.output != "causal":
            raise InvalidInput("a language model alone is written as --output causal")

    def identity(self) -> dict[str, Any]:
        """As it is written beside the weights and compared when a run is resumed."""
        return asdict(self) | {"after_error": self.labels_after_error}
