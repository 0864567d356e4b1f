from functools import partial

import checkpoints_causal as checkpoints
from family_case import FamilyCase
from reference import fover as reference

CASES = [
    FamilyCase("fover-llama", "fover", checkpoints.causal, reference.step_rewards, special_marker="<|eot_id|>"),
    FamilyCase(
        "fover-qwen",
        "fover",
        partial(checkpoints.causal, kind="qwen2"),
        reference.step_rewards,
        special_marker="<|im_end|>",
    ),
]
