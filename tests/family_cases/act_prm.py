from functools import partial

import checkpoints_value_heads as checkpoints
from family_case import FamilyCase
from reference import act_prm as reference

ASSISTANT = (
    "You are a helpful and harmless assistant. "
    "You should think step-by-step and put your final answer within \\boxed{}."
)

CASES = [
    FamilyCase("act_prm", "act_prm", checkpoints.ensemble, reference.step_rewards, special_marker="<extra_0>"),
    FamilyCase(
        "act_prm-processbench",
        "act_prm",
        partial(checkpoints.ensemble, members=2),
        partial(reference.step_rewards, system=ASSISTANT),
        options={"system": ASSISTANT},
        special_marker="<extra_0>",
    ),
]
