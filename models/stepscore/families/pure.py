"""PURE's PRM: TRL token classification whose reward is the difference of the two probabilities.

Sources: CJReinforce/PURE and the card of jinachris/PURE-PRM-7B; "Stop Summation: Min-Form Credit Assignment Is All
Process Reward Model Needs for Reasoning", arXiv 2504.15275.

The ids are those of TRL's trainer: problem, each step and each separator encoded for themselves, but without a BOS.
The separator is a line break on the card and in training; PRMBench's wrapper uses a blank line (`separator`). One
that is an added token is written as that token.
The reward is p(correct) - p(wrong), in [-1, 1], and a step counts as wrong below 0. The default aggregate is the
soft-min with temperature 0.1: the weights that the authors give to the steps of a return.
"""

from __future__ import annotations

from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext
from stepscore.family.layouts import SeparatedSteps
from stepscore.family.readers import softmax_difference
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.types import RewardRange


def build(context: LayoutContext) -> Parts:
    return Parts(SeparatedSteps.of(context), LinearHead(("score",), outputs=2), softmax_difference(1, 0))


FAMILY = Family(
    name="pure",
    title="PURE-PRM",
    source=("https://github.com/CJReinforce/PURE", "https://arxiv.org/abs/2504.15275"),
    licence="not stated; built on Qwen2.5-Math (Apache-2.0)",
    checkpoints=("jinachris/PURE-PRM-7B", "jinachris/Qwen2.5-Math-7B-PRM800K"),
    prompt="{problem}{step 1}\n{step 2}\n",
    marker="the separator (text, default a line break), its last token",
    formula="softmax(logits)[1] - softmax(logits)[0]",
    build=build,
    compared=(Compared("ssmisya/PRMBench", "a1ae4ea", "mr_eval/models/pure_prm.py", "`separator` a blank line"),),
    evidence=Evidence(
        architectures=(r".*ForTokenClassification",),
        tensors=(r"score\.weight",),
        repositories=(r"\bpure\b", "jinachris"),
    ),
    reward_range=RewardRange("difference", -1.0, 1.0),
    aggregate="soft_min",
    threshold=0.0,
    options={"separator": Option("\n", "the text after each step")},
)
