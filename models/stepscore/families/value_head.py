"""A value head on any decoder: one logit per step at a separator, through a sigmoid.

Source: none; the single-head PRM of teaching notebooks (a base model, `nn.Linear(hidden, 1)`, binary cross-entropy at
each step's end) and TRL's `AutoModelForCausalLMWithValueHead`.

The problem and its own separator, then each step and its separator; reads at the separator's last token. With
`tokenisation=pieces` (the default) each of these is encoded for itself and the ids are joined, so a separator never
merges with text; `joint` encodes the whole string, and a separator that merges with its neighbour is an error. A
separator that the tokenizer holds as an added token is written as that token in both. A separator typed inside a step
is text: positions are noted while writing.

The head's tensors have no agreed name; `head=auto` takes the one that is there of `v_head.summary`, `value_head`,
`v_head`, `reward_head` and `score`. The default aggregate is the minimum, as for other models trained on step labels
with a cross-entropy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stepscore.errors import CheckpointError
from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext, SequenceBuilder, check
from stepscore.family.layouts import separator_of, template_ids
from stepscore.family.readers import sigmoid_value
from stepscore.family.registry import Evidence, Family, Option, Parts, Training
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Solution

NAMES = ("v_head.summary", "value_head", "v_head", "reward_head", "score")
AUTO = "auto"
BARE = r"(Llama|Mistral|Qwen2|Qwen3)Model"


@dataclass(frozen=True, slots=True)
class Pieces:
    """bos + ids(problem) + ids(opening), then ids(step) + ids(separator) for each step, joined."""

    tokenizer: StepTokenizer
    opening: tuple[int, ...]
    separator: tuple[int, ...]

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        builder = SequenceBuilder(self.tokenizer).bos().piece(solution.problem).token(*self.opening)
        for step in solution.steps:
            builder.piece(step).token(*self.separator).read()
        return EncodedSolution((builder.build(),), steps=len(solution.steps))


@dataclass(frozen=True, slots=True)
class Joint:
    """bos + ids(problem + opening + step + separator + ...), encoded together."""

    tokenizer: StepTokenizer
    opening: str
    separator: str
    last: int

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        builder = SequenceBuilder(self.tokenizer).bos().text(solution.problem).template(self.opening)
        for step in solution.steps:
            builder.text(step).template(self.separator).read(self.last)
        return EncodedSolution((builder.build(),), steps=len(solution.steps))


def head_name(context: LayoutContext) -> str:
    """Raises CheckpointError if the weights hold no such head, or more than one."""
    names = NAMES if context.options["head"] == AUTO else (context.options["head"],)
    found = [name for name in names if f"{name}.weight" in context.tensors]
    if len(found) != 1:
        raise CheckpointError(
            f"a value head is one of {', '.join(names)}; the weights hold {', '.join(found) or 'none'}", found=found
        )
    return found[0]


def build(context: LayoutContext) -> Parts:
    tokenizer, options = context.tokenizer, context.options
    opening, separator = options["opening"], separator_of(context)
    last = template_ids(tokenizer, separator)[-1]
    if options["tokenisation"] == "joint":
        layout: Pieces | Joint = Joint(tokenizer, opening, separator, last)
    else:
        layout = Pieces(tokenizer, template_ids(tokenizer, opening), template_ids(tokenizer, separator))
    return Parts(layout, LinearHead((head_name(context),), outputs=1), sigmoid_value)


FAMILY = Family(
    name="value_head",
    title="Value head at a separator",
    source=("https://huggingface.co/docs/trl/v0.24.0/en/models",),
    licence="each checkpoint's own",
    checkpoints=(),
    prompt="{bos}{problem}{opening}{step 1}{separator}{step 2}{separator}",
    marker="the separator (text or added token, default a line break), its last token",
    formula="sigmoid(value at the separator)",
    build=build,
    training=Training("Model", ("value_head",)),
    evidence=Evidence(
        architectures=(r".*ForCausalLM", BARE),
        tensors=(rf"({'|'.join(map(re.escape, NAMES))})\.weight",),
    ),
    options={
        "separator": Option("\n", "what follows each step"),
        "opening": Option("\n", "what follows the problem"),
        "tokenisation": Option("pieces", "each piece for itself, or the whole string", ("pieces", "joint")),
        "head": Option(AUTO, "the head's name in the weights"),
    },
)
