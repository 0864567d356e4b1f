"""ReasonFlux-PRM-7B: Qwen2.5-Math-PRM's marker and head, without a system message.

Source: the model card of Gen-Verse/ReasonFlux-PRM-7B (arXiv 2506.18896).

The authors pass no system message, so the chat template writes its default one; `system` sets another. The reward is
`softmax(logits)[1]` at `<extra_0>` after each step. The card names no aggregate; the mean is the default, because
thinking trajectories run to hundreds of steps, of which a minimum or a product keeps only the oddest.
ReasonFlux-PRM-1.5B is another model (one score a call, `reward_head.pt`) and is not read by this family.
"""

from __future__ import annotations

from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext
from stepscore.family.layouts import MarkedChat
from stepscore.family.readers import softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts

MARKER = "<extra_0>"


def build(context: LayoutContext) -> Parts:
    layout = MarkedChat.of(context, MARKER, context.options["system"])
    return Parts(layout, LinearHead(("score.0", "score.2"), outputs=2), softmax_of(1))


FAMILY = Family(
    name="reasonflux",
    title="ReasonFlux-PRM",
    source=("https://huggingface.co/Gen-Verse/ReasonFlux-PRM-7B", "https://arxiv.org/abs/2506.18896"),
    licence="not stated; built on Qwen2.5",
    checkpoints=("Gen-Verse/ReasonFlux-PRM-7B",),
    prompt=(
        "<|im_start|>system\n{the template's default}<|im_end|>\n<|im_start|>user\n{problem}<|im_end|>\n"
        "<|im_start|>assistant\n{step 1}<extra_0>{step 2}<extra_0><|im_end|>\n"
    ),
    marker="<extra_0> (special token)",
    formula="softmax(logits at the marker)[1]",
    build=build,
    compared=(
        Compared("Gen-Verse/ReasonFlux", "8980b8b", "ReasonFlux_PRM/README.md, ReasonFlux_PRM/utils/rm_utils.py"),
    ),
    evidence=Evidence(
        architectures=("Qwen2ForProcessRewardModel",),
        tensors=(r"score\.0\.weight", r"score\.2\.weight"),
        repositories=(r"reasonflux[-_]?prm",),
    ),
    aggregate="mean",
    markers=(MARKER,),
    options={"system": Option("", "the system message; empty leaves it to the chat template")},
)
