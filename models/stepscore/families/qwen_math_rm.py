"""Qwen2.5-Math-RM: an outcome reward model with a two-layer head, read at the last token of the chat.

Sources: the card, config and `modeling_qwen2_rm.py` of Qwen/Qwen2.5-Math-RM-72B; arXiv 2409.12122.

The reward is the head's one number, unbounded. To read steps, every prefix is scored for itself
(`per_step=prefix`, the default), which is how arXiv 2501.07301 puts it beside PRMs on ProcessBench (F1 38.9);
`per_step=final` runs the whole answer once and gives its reward to every step. The default aggregate `last` is the
reward of the whole answer with both. ProcessBench's threshold for it is fitted and not published; the default is 0.
"""

from __future__ import annotations

from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext
from stepscore.family.outcome import OUTCOME_REWARDS, OutcomeChat, outcome_options, outcome_value
from stepscore.family.registry import CLASS_ON_HUB, Compared, Evidence, Family, Parts

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


def build(context: LayoutContext) -> Parts:
    return Parts(OutcomeChat.of(context), LinearHead(("score.0", "score.2"), outputs=1), outcome_value)


FAMILY = Family(
    name="qwen_math_rm",
    title="Qwen2.5-Math-RM",
    source=("https://huggingface.co/Qwen/Qwen2.5-Math-RM-72B", "https://arxiv.org/abs/2409.12122"),
    licence="Qwen",
    checkpoints=("Qwen/Qwen2.5-Math-RM-72B",),
    prompt=(
        "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{problem}<|im_end|>\n"
        "<|im_start|>assistant\n{step 1}\n\n{step 2}<|im_end|>\n (one such chat for each prefix of the steps)"
    ),
    marker="the last token of the chat",
    formula="the head's number for the answer that ends with the step",
    build=build,
    compared=(Compared("Red-Hat-AI-Innovation-Team/reward_hub", "fc6150d", "reward_hub/hf/reward.py", CLASS_ON_HUB),),
    evidence=Evidence(architectures=("Qwen2ForRewardModel",), tensors=(r"score\.0\.weight", r"score\.2\.weight")),
    reward_range=OUTCOME_REWARDS,
    aggregate="last",
    threshold=0.0,
    options=outcome_options(SYSTEM),
)
