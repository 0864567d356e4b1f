"""ArmoRM: nineteen objectives, mixed by a gating network that looks at the end of the prompt.

Sources: the card and `modeling_custom.py` of RLHFlow/ArmoRM-Llama3-8B-v0.1; "Interpretable Preferences via
Multi-Objective Reward Modeling and Mixture-of-Experts", arXiv 2406.12845.

The reward is sum_k g_k o_k. The objectives o = (h regression_layer^T) reward_transform_matrix are read at the last
token of the chat (before the config's padding token). The weights g = softmax(gating(h) / temperature) * logit_scale
are read at the `<|eot_id|>` that closes the user's message, where the header before the answer begins.
Every prefix of the steps is scored as an answer of its own (`per_step=prefix`), or the whole answer once for all
steps (`final`), as with other outcome reward models; the default aggregate `last` is the reward of the whole answer
with both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stepscore.errors import CheckpointError
from stepscore.family.heads import GatedHead
from stepscore.family.layout import LayoutContext, SequenceBuilder
from stepscore.family.outcome import OUTCOME_REWARDS, OutcomeChat, for_each_step, outcome_options
from stepscore.family.readers import join_rows, reading
from stepscore.family.registry import CLASS_ON_HUB, Compared, Evidence, Family, Parts
from stepscore.types import EncodedSolution, Reading, Values

HEADER = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
OBJECTIVES, TEMPERATURE, HIDDEN_LAYERS = 19, 10.0, 3
"""The class's own defaults, for what config.json leaves out."""


def gated_sum(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    """reward = sum over objectives of the gate's weight (first read) times the objective (second read)."""
    pairs_P22K = join_rows(values).reshape(-1, 2, 2, values[0].shape[1] // 2)
    mixed_PK = for_each_step(pairs_P22K[:, 0, 0] * pairs_P22K[:, 1, 1], encoded)
    return reading(mixed_PK.astype(np.float64).sum(axis=1), mixed_PK)


def build(context: LayoutContext) -> Parts:
    header = SequenceBuilder(context.tokenizer).template(HEADER).build().ids
    objectives = _number(context, "num_objectives", OBJECTIVES)
    layers = _number(context, "gating_n_hidden", HIDDEN_LAYERS) + 1
    head = GatedHead(
        gate=tuple(f"gating.layers.{layer}" for layer in range(int(layers))),
        scale="gating.logit_scale",
        regression="regression_layer.weight",
        transform="reward_transform_matrix",
        objectives=int(objectives),
        temperature=_number(context, "gating_temperature", TEMPERATURE),
    )
    return Parts(OutcomeChat.of(context, header), head, gated_sum)


def _number(context: LayoutContext, key: str, default: float) -> float:
    value = context.config.get(key, default)
    if not isinstance(value, int | float):
        raise CheckpointError(f"{key} in config.json is {value!r}, not a number", key=key)
    return float(value)


FAMILY = Family(
    name="armo_rm",
    title="ArmoRM",
    source=("https://huggingface.co/RLHFlow/ArmoRM-Llama3-8B-v0.1", "https://arxiv.org/abs/2406.12845"),
    licence="Llama 3",
    checkpoints=("RLHFlow/ArmoRM-Llama3-8B-v0.1",),
    prompt=(
        "<|start_header_id|>user<|end_header_id|>\n\n{problem}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{step 1}\n\n{step 2}<|eot_id|>"
        " (after the chat template's own opening; one such chat for each prefix of the steps)"
    ),
    marker="the <|eot_id|> after the problem (gate) and the last token of the chat (objectives)",
    formula="sum over objectives of gate weight * objective, for the answer that ends with the step",
    build=build,
    compared=(Compared("Red-Hat-AI-Innovation-Team/reward_hub", "fc6150d", "reward_hub/hf/reward.py", CLASS_ON_HUB),),
    evidence=Evidence(architectures=("LlamaForRewardModelWithGating",), tensors=(r"regression_layer\.weight",)),
    reward_range=OUTCOME_REWARDS,
    aggregate="last",
    threshold=0.0,
    options=outcome_options(),
)
