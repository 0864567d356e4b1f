"""From a plan to the things that a run needs: base, layout, objective, model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from stepscore.errors import CheckpointError, InvalidInput
from stepscore.family.layout import Layout, LayoutContext, check
from stepscore.family.trained_reading import TrainedReading
from stepscore.generate.prompt import ChatPrompt, PlainPrompt, PromptWriter
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Solution
from stepscore_service.jobs.modeling.bases import Base, open_base, with_marker
from stepscore_service.jobs.modeling.example import Encoder
from stepscore_service.jobs.modeling.model import StepModel, compile_layers, new_head, with_adapters
from stepscore_service.jobs.modeling.objective import Objective
from stepscore_service.jobs.modeling.objectives.registry import open_objective
from stepscore_service.jobs.modeling.outputs import Output, output_named
from stepscore_service.jobs.modeling.plan import TrainPlan
from stepscore_service.jobs.modeling.targets import after_first_error, outcome_only

OF_STEPS = ("cross-entropy", "soft", "mse")
"""Objectives that need one number and one label per step, and nothing else."""

JOIN = "\n"


@dataclass(frozen=True, slots=True)
class TrainSetup:
    """What is trained, and how solutions are written for it and judged."""

    base: Base
    output: Output
    model: StepModel
    encoder: Encoder
    objective: Objective


@dataclass(frozen=True, slots=True)
class PolicyText:
    """How a policy's solution is written if only its language model is trained: as `stepscore label` asks for it.

    The prompt, the steps on lines of their own, and the token that ends an answer. Nothing is read.
    """

    tokenizer: PreTrainedTokenizerFast

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        prompt = self._writer.write(solution.problem, JOIN.join(solution.steps))
        ids = self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        end = () if self.tokenizer.eos_token_id is None else (self.tokenizer.eos_token_id,)
        return EncodedSolution((Encoded((*ids, *end), ()),), steps=len(solution.steps))

    @property
    def _writer(self) -> PromptWriter:
        return ChatPrompt(self.tokenizer) if self.tokenizer.chat_template else PlainPrompt()


def build(plan: TrainPlan) -> TrainSetup:
    """The same plan gives the same first weights. Raises CheckpointError, InvalidInput."""
    torch.manual_seed(plan.learning.seed)
    output = output_named(plan.output)
    _check_objective(plan, output)
    base = with_marker(open_base(plan.base, _dtype(plan)), output.training.marker)
    layout = layout_of(base, output)
    encoder = _encoder(plan, base, layout, marked=output.training.reading is not None)
    return TrainSetup(base, output, _model(plan, base, output), encoder, open_objective(plan))


def _check_objective(plan: TrainPlan, output: Output) -> None:
    """Raises InvalidInput if the output cannot be learnt in this way."""
    if plan.learning.normalize_head and not output.training.layers:
        raise InvalidInput(f"--normalize-head is about a head, and --output {plan.output} has none: leave it out")
    if output.training.reading is not None and plan.objective not in OF_STEPS:
        raise InvalidInput(f"--output {plan.output} is learnt from labels of steps: {', '.join(OF_STEPS)}")


def layout_of(base: Base, output: Output) -> Layout:
    """The family's own, as scoring builds it. Raises CheckpointError if the tokenizer does not allow it."""
    family = output.family
    if family is None:
        return PolicyText(base.tokenizer)
    if output.training.chat and not base.tokenizer.chat_template:
        raise CheckpointError("the base has no chat template, which this output needs; choose --output value_head")
    names = frozenset(f"{layer}.weight" for layer in output.training.layers)
    tokenizer = StepTokenizer(base.tokenizer, family.markers)
    return family.build(LayoutContext(tokenizer, _config(base, output), family.settle({}), names)).layout


def _config(base: Base, output: Output) -> dict[str, Any]:
    """config.json as the family wants it: the family's entries, unless the base has its own."""
    config: dict[str, Any] = base.lm.config.to_dict()
    return dict(output.training.config) | config


def _encoder(plan: TrainPlan, base: Base, layout: Layout, *, marked: bool) -> Encoder:
    if plan.objective == "orm":
        labels: Any = outcome_only
    else:
        labels = partial(after_first_error, how=plan.labels_after_error, error_below=plan.error_below)
    positions = int(base.lm.config.max_position_embeddings)
    if plan.learning.max_tokens > positions:
        raise InvalidInput(f"--max-tokens {plan.learning.max_tokens} is above the base's limit of {positions}")
    limit = plan.learning.max_tokens or positions
    _check_window(plan, base, limit)
    predict = plan.lm_weight > 0 or plan.objective == "lm"
    return Encoder(layout, labels, limit, predict, marked, plan.error_below)


def _check_window(plan: TrainPlan, base: Base, limit: int) -> None:
    """Raises InvalidInput if a tree, which says for itself what a token sees, would lose a sliding window."""
    config = base.lm.config
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if plan.learning.layout == "shared" and window and limit > window:
        raise InvalidInput(
            f"the base sees {window} tokens at a time, which --share-prefixes does not keep: "
            f"add --max-tokens {window}, or leave --share-prefixes out",
            sliding_window=window,
        )


def _model(plan: TrainPlan, base: Base, output: Output) -> StepModel:
    head = new_head(output, base.lm.config.hidden_size)
    reference = (
        open_base(plan.base, _dtype(plan)).lm.requires_grad_(False).eval() if plan.output == "implicit" else None
    )
    lm = with_adapters(base, plan.lora) if plan.lora.rank else base.lm
    if head is not None and not plan.lm_weight and not base.lm.config.tie_word_embeddings:
        lm.get_output_embeddings().requires_grad_(False)  # unused, and an idle gradient stops several processes
    if plan.learning.checkpointing:
        lm.gradient_checkpointing_enable({"use_reentrant": False})
    if plan.learning.compile:
        compile_layers(lm)
    return StepModel(lm, head, reference, _reading(base, output))


def _reading(base: Base, output: Output) -> TrainedReading | None:
    reading = output.training.reading
    return None if reading is None else reading(StepTokenizer(base.tokenizer, ()), _config(base, output))


def _dtype(plan: TrainPlan) -> torch.dtype:
    """Frozen weights may be small; trained ones are kept in fp32, with bf16 in the products only."""
    return torch.bfloat16 if plan.learning.bf16 and plan.lora.rank else torch.float32
