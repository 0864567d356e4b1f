"""Outcome reward models that are `*ForSequenceClassification` with one output: Skywork-Reward, AceMath-RM and kin.

Sources: the cards of Skywork/Skywork-Reward-Llama-3.1-8B-v0.2, Skywork/Skywork-Reward-V2-Llama-3.1-8B and
nvidia/AceMath-7B-RM; `modeling_llama.py` and `modeling_qwen2.py` of transformers (the class they all load).

The chat of problem and answer is rendered by the checkpoint's own template, with its BOS once (Skywork's card strips
the rendered one because its tokenizer adds it again). The reward is the logit at the last token that is not the
config's padding token, as transformers has it: if a config pads with its closing token, the token before that one
is read. Skywork's card gives no system message, AceMath's gives one, so that each is a family of its own.

Such a model gives one reward for a whole answer. `per_step=prefix` (default) scores every prefix of the steps, one
sequence each, and the k-th step's reward is that of the answer up to it: what arXiv 2501.07301 does to put
Qwen2.5-Math-RM beside PRMs on ProcessBench. `per_step=final` runs the whole answer once and gives its reward to every
step, so that one reward for each step holds at the price of one forward; the steps then differ in nothing.
With both, the default aggregate `last` is the reward of the whole answer. Rewards are unbounded and no threshold is
published; the default 0 is where the Bradley-Terry models that these are put even odds.
"""

from __future__ import annotations

from dataclasses import replace

from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext
from stepscore.family.outcome import OUTCOME_REWARDS, OutcomeChat, outcome_options, outcome_value
from stepscore.family.registry import Compared, Evidence, Family, Parts

ACEMATH_SYSTEM = "Please reason step by step, and check your final answer within \\boxed{}."


def build(context: LayoutContext) -> Parts:
    return Parts(OutcomeChat.of(context), LinearHead(("score",), outputs=1), outcome_value)


FAMILY = Family(
    name="orm_sequence_classification",
    title="Outcome reward model (sequence classification)",
    source=(
        "https://huggingface.co/Skywork/Skywork-Reward-Llama-3.1-8B-v0.2",
        "https://huggingface.co/Skywork/Skywork-Reward-V2-Llama-3.1-8B",
    ),
    licence="each checkpoint's own",
    checkpoints=(
        "Skywork/Skywork-Reward-Llama-3.1-8B-v0.2",
        "Skywork/Skywork-Reward-V2-Llama-3.1-8B",
        "Skywork/Skywork-Reward-V2-Qwen3-8B",
    ),
    prompt=(
        "user: {problem}\nassistant: {step 1}\n\n{step 2}\n"
        "(rendered by the checkpoint's own chat template; one such chat for each prefix of the steps)"
    ),
    marker="the last token of the chat",
    formula="the logit of the answer that ends with the step",
    build=build,
    compared=(Compared("allenai/reward-bench", "05a9005", "rewardbench/models/pipeline.py, RewardBenchPipeline"),),
    evidence=Evidence(architectures=(r".*ForSequenceClassification",), tensors=(r"score\.weight",)),
    reward_range=OUTCOME_REWARDS,
    aggregate="last",
    threshold=0.0,
    options=outcome_options(),
)

ACEMATH = replace(
    FAMILY,
    name="acemath_rm",
    title="AceMath-RM",
    source=("https://huggingface.co/nvidia/AceMath-7B-RM", "https://arxiv.org/abs/2412.15084"),
    licence="CC BY-NC 4.0",
    checkpoints=("nvidia/AceMath-7B-RM", "nvidia/AceMath-72B-RM"),
    prompt="system: {system}\n" + FAMILY.prompt,
    evidence=replace(FAMILY.evidence, repositories=("acemath",)),
    options=outcome_options(ACEMATH_SYSTEM),
)
