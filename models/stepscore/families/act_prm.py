"""ActPRM and ActPRM-X: an ensemble of small heads, read at the special token `<extra_0>` that follows each step.

Sources: sail-sg/ActivePRM, `models/nets.py`, `models/qwen2_ensemble_prm` and `examples/py_scripts/code_snippets.py`;
"Efficient Process Reward Model Training via Active Learning", arXiv 2504.10559.

The layout is Qwen2.5-Math-PRM's. Each of `num_ensemble` heads (8 if the config names no number) gives one logit; the
reward is the mean over heads of their sigmoids. `extras["spread"]` is the population standard deviation of those
sigmoids, the disagreement by which the authors choose what to label. The frozen `score.reg_model` only regularises.
The evaluation script on ProcessBench uses another system message ("You are a helpful and harmless assistant. You
should think step-by-step and put your final answer within \\boxed{}."); the published snippet's is the default.
The default aggregate is the product, which arXiv 2501.07301 finds best for models whose step labels come from people
or judges, as these do.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepscore.errors import CheckpointError
from stepscore.family.heads import EnsembleHead
from stepscore.family.layout import LayoutContext
from stepscore.family.layouts import MarkedChat
from stepscore.family.readers import join_rows, sigmoid
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.types import EncodedSolution, Reading, Values

MARKER = "<extra_0>"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
MEMBERS = 8


def mean_and_spread(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    """reward = mean of the members' sigmoids; extras: their standard deviation."""
    logits_SE = join_rows(values)
    votes_SE = sigmoid(logits_SE)
    return Reading(
        rewards=tuple(float(mean) for mean in votes_SE.mean(axis=1)),
        logits=tuple(tuple(float(logit) for logit in row) for row in logits_SE),
        extras={"spread": tuple(float(spread) for spread in votes_SE.std(axis=1))},
    )


def build(context: LayoutContext) -> Parts:
    members = context.config.get("num_ensemble", MEMBERS)
    if not isinstance(members, int):
        raise CheckpointError(f"num_ensemble in config.json is {members!r}, not a number", key="num_ensemble")
    layout = MarkedChat.of(context, MARKER, context.options["system"])
    return Parts(layout, EnsembleHead("score.model", members), mean_and_spread)


FAMILY = Family(
    name="act_prm",
    title="ActPRM",
    source=("https://github.com/sail-sg/ActivePRM", "https://arxiv.org/abs/2504.10559"),
    licence="code Apache-2.0; weights not stated",
    checkpoints=("ActPRM/ActPRM", "ActPRM/ActPRM-X", "sail/ActPRM", "sail/ActPRM-X"),
    prompt=(
        "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{problem}<|im_end|>\n"
        "<|im_start|>assistant\n{step 1}<extra_0>{step 2}<extra_0><|im_end|>\n"
    ),
    marker="<extra_0> (special token)",
    formula="mean over heads of sigmoid(logit at the marker)",
    build=build,
    compared=(
        Compared("sail-sg/ActivePRM", "a93b338", "src/active_prm/models/nets.py, examples/py_scripts/code_snippets.py"),
    ),
    evidence=Evidence(architectures=("Qwen2ForEnsemblePRM",), tensors=(r"score\.model\.nn1\.weight",)),
    aggregate="prod",
    markers=(MARKER,),
    options={"system": Option(SYSTEM, "the system message; empty leaves it to the chat template")},
)
