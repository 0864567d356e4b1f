from functools import partial

import checkpoints_value_heads as checkpoints
from family_case import FamilyCase
from reference import skywork as reference

CASES = [
    FamilyCase("skywork", "skywork", checkpoints.skywork, reference.step_rewards),
    FamilyCase(
        "skywork-collapsed",
        "skywork",
        partial(checkpoints.skywork, tie_word_embeddings=False),
        reference.collapsed_rewards,
        options={"lines": "collapsed"},
    ),
]
