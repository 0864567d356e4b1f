"""From a plan to the things that a run needs: base, layout, objective, model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from stepscore.errors import CheckpointError
from stepscore.layout import Layout, LayoutContext
from stepscore.registry import family_named
from stepscore.tokenizer import StepTokenizer
from stepscore_service.jobs.train.bases import Base, open_base, with_marker
from stepscore_service.jobs.train.example import Encoder
from stepscore_service.jobs.train.model import StepModel, new_head, with_adapters
from stepscore_service.jobs.train.objective import Objective
from stepscore_service.jobs.train.objectives.registry import open_objective
from stepscore_service.jobs.train.outputs import Output, output_named
from stepscore_service.jobs.train.plan import Plan
from stepscore_service.jobs.train.policy import PolicyText
from stepscore_service.jobs.train.targets import after_first_error, outcome_only


@dataclass(frozen=True, slots=True)
class Trainee:
    """What is trained, and how solutions are written for it and judged."""

    base: Base
    output: Output
    model: StepModel
    encoder: Encoder
    objective: Objective


def build(plan: Plan) -> Trainee:
    """The same plan gives the same first weights. Raises CheckpointError, InvalidInput."""
    torch.manual_seed(plan.learning.seed)
    output = output_named(plan.output)
    base = with_marker(open_base(plan.base, _dtype(plan)), output.marker)
    layout = layout_of(base, output)
    return Trainee(base, output, _model(plan, base, output), _encoder(plan, base, layout), open_objective(plan))


def layout_of(base: Base, output: Output) -> Layout:
    """The family's own, as scoring builds it. Raises CheckpointError where the tokenizer does not allow it."""
    if not output.family:
        return PolicyText(base.tokenizer)
    family = family_named(output.family)
    if output.marker and not base.tokenizer.chat_template and output.family == "qwen_math":
        raise CheckpointError("the base has no chat template, which this output needs; choose --output value_head")
    names = frozenset(f"{layer}.weight" for layer in output.layers)
    tokenizer = StepTokenizer(base.tokenizer, family.markers)
    return family.build(LayoutContext(tokenizer, base.lm.config.to_dict(), family.settle({}), names)).layout


def _encoder(plan: Plan, base: Base, layout: Layout) -> Encoder:
    if plan.objective == "orm":
        labels: Any = outcome_only
    else:
        labels = partial(after_first_error, how=plan.after_error)
    positions = int(base.lm.config.max_position_embeddings)
    limit = min(plan.learning.max_tokens or positions, positions)
    return Encoder(layout, labels, limit, predict=plan.lm_weight > 0 or plan.objective == "lm")


def _model(plan: Plan, base: Base, output: Output) -> StepModel:
    head = new_head(output, base.lm.config.hidden_size)
    reference = (
        open_base(plan.base, _dtype(plan)).lm.requires_grad_(False).eval() if plan.output == "implicit" else None
    )
    lm = with_adapters(base, plan.lora) if plan.lora.rank else base.lm
    if head is not None and not plan.lm_weight and not base.lm.config.tie_word_embeddings:
        lm.get_output_embeddings().requires_grad_(False)  # unused, and an idle gradient stops several processes
    if plan.learning.checkpointing:
        lm.gradient_checkpointing_enable({"use_reentrant": False})
    return StepModel(lm, head, reference)


def _dtype(plan: Plan) -> torch.dtype:
    """Frozen weights may be small; trained ones are kept in fp32, with bf16 in the products only."""
    return torch.bfloat16 if plan.learning.bf16 and plan.lora.rank else torch.float32
