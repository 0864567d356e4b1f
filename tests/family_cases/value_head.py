from functools import partial

import checkpoints_value_heads as checkpoints
from family_case import FamilyCase
from reference import value_head as reference

CASES = [
    FamilyCase(
        "value_head", "value_head", checkpoints.value_head, partial(reference.step_rewards, head="v_head.summary")
    ),
    FamilyCase(
        "value_head-bare", "value_head", checkpoints.bare_value_head, partial(reference.step_rewards, head="score")
    ),
    FamilyCase(
        "value_head-mistral-paragraphs",
        "value_head",
        partial(checkpoints.value_head, kind="mistral", head="value_head"),
        partial(reference.step_rewards, head="value_head", separator="\n\n"),
        options={"separator": "\n\n"},
    ),
    FamilyCase(
        "value_head-token",
        "value_head",
        partial(checkpoints.value_head, kind="mistral", head="reward_head", marker="<step>"),
        partial(reference.joint_rewards, head="reward_head", separator="<step>"),
        options={"separator": "<step>", "tokenisation": "joint"},
        special_marker="<step>",
    ),
]
