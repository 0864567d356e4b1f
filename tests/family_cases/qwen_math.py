from functools import partial

import checkpoints
from family_case import FamilyCase
from reference import qwen_math

CASES = [
    FamilyCase("qwen_math", "qwen_math", checkpoints.qwen_math, qwen_math.step_rewards, special_marker="<extra_0>"),
    FamilyCase(
        "qwen_math-sharded",
        "qwen_math",
        partial(checkpoints.qwen_math, shards=3, seed=4),
        qwen_math.step_rewards,
        special_marker="<extra_0>",
    ),
]
