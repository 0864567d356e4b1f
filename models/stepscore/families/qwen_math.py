"""Qwen2.5-Math-PRM: two class logits at the special token `<extra_0>` that follows each step.

Sources: the model card and `modeling_qwen2_rm.py` of Qwen/Qwen2.5-Math-PRM-7B; "The Lessons of Developing Process
Reward Models in Mathematical Reasoning", arXiv 2501.07301.

The reward is `softmax(logits)[1]` at the marker's position. The card selects non-zero probabilities, which drops a
step whose probability underflows; here the positions are known from the layout, so no step can be lost. The marker
follows the step directly, without a newline. The default aggregate is the product, as in the paper's
best-of-N tables for models trained on step labels.
"""

from __future__ import annotations

from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext
from stepscore.family.layouts import MarkedChat
from stepscore.family.readers import softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts, Training

MARKER = "<extra_0>"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


def build(context: LayoutContext) -> Parts:
    layout = MarkedChat.of(context, MARKER, context.options["system"])
    return Parts(layout, LinearHead(("score.0", "score.2"), outputs=2), softmax_of(1))


FAMILY = Family(
    name="qwen_math",
    title="Qwen2.5-Math-PRM",
    source=("https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B", "https://arxiv.org/abs/2501.07301"),
    licence="Qwen",
    checkpoints=("Qwen/Qwen2.5-Math-PRM-7B", "Qwen/Qwen2.5-Math-PRM-72B", "Qwen/Qwen2.5-Math-7B-PRM800K"),
    prompt=(
        "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{problem}<|im_end|>\n"
        "<|im_start|>assistant\n{step 1}<extra_0>{step 2}<extra_0><|im_end|>\n"
    ),
    marker="<extra_0> (special token)",
    formula="softmax(logits at the marker)[1]",
    build=build,
    training=Training("ForProcessRewardModel", ("score.0", "score.2"), 2, "<extra_0>", chat=True),
    # Qwen's own is Qwen2's; the same head over another decoder is what `stepscore train` writes for other bases.
    compared=(Compared("Red-Hat-AI-Innovation-Team/reward_hub", "fc6150d", "reward_hub/hf/reward.py"),),
    evidence=Evidence(
        architectures=(r"(Qwen2|Qwen3|Llama|Mistral)ForProcessRewardModel",),
        tensors=(r"score\.0\.weight", r"score\.2\.weight"),
    ),
    aggregate="prod",
    markers=(MARKER,),
    options={"system": Option(SYSTEM, "the system message; empty leaves it to the chat template")},
)
