"""PQM: the raw value at the added token `[PRM]` that ends each step.

Source: WindyLee0822/Process_Q_Model (arXiv 2410.11287); the prompt as compute-optimal-tts writes it.

The text is the problem, a space, and each step followed by ` [PRM]`, with line breaks between them; steps are stripped.
The value is a Q-value, trained by comparison, and unbounded: compute-optimal-tts applies no sigmoid, so the reward is
the value itself and only its order has a meaning. The default aggregate is the minimum, the threshold 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext, SequenceBuilder, check
from stepscore.family.readers import raw_value
from stepscore.family.registry import Evidence, Family, Parts, Training
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, RewardRange, Solution

MARKER = "[PRM]"


@dataclass(frozen=True, slots=True)
class MarkedText:
    """bos, problem and a space, then each step, a space and the marker, with line breaks between; reads the marker."""

    tokenizer: StepTokenizer
    marker: int

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        builder = SequenceBuilder(self.tokenizer).bos().text(f"{solution.problem} ")
        for number, step in enumerate(solution.steps):
            builder.text("\n" if number else "").text(f"{step.strip()} ").token(self.marker).read()
        return EncodedSolution((builder.build(),), steps=len(solution.steps))


def build(context: LayoutContext) -> Parts:
    layout = MarkedText(context.tokenizer, context.tokenizer.token_id(MARKER))
    return Parts(layout, LinearHead(("v_head.summary",), outputs=1), raw_value)


FAMILY = Family(
    name="pqm",
    title="PQM",
    source=("https://github.com/WindyLee0822/Process_Q_Model", "https://arxiv.org/abs/2410.11287"),
    licence="not stated; built on deepseek-math-7b-base",
    checkpoints=("Windy0822/PQM",),
    prompt="{bos}{problem} {step 1} [PRM]\n{step 2} [PRM]",
    marker="[PRM] (added token)",
    formula="the value at the marker",
    build=build,
    training=Training("ForCausalLM", ("v_head.summary",), marker="[PRM]"),
    evidence=Evidence(
        architectures=(r".*ForCausalLM",), tensors=(r"v_head\.summary\.weight",), repositories=(r"(^|[/_-])pqm",)
    ),
    reward_range=RewardRange("real", float("-inf"), float("inf")),
    threshold=0.0,
    markers=(MARKER,),
)
