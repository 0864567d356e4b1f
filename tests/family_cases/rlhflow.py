from functools import partial

import checkpoints_causal as checkpoints
from family_case import FamilyCase
from reference import rlhflow as reference

CASES = [
    FamilyCase("rlhflow", "rlhflow", checkpoints.causal, reference.step_rewards, special_marker="<|eot_id|>"),
    FamilyCase(
        "rlhflow-tied-paragraph",
        "rlhflow",
        partial(checkpoints.causal, tie_word_embeddings=True, seed=3),
        partial(reference.step_rewards, joint="\n\n"),
        options={"opening": "paragraph"},
    ),
    FamilyCase(
        "rlhflow-vocabulary",
        "rlhflow",
        partial(checkpoints.causal, seed=4),
        partial(reference.step_rewards, whole_vocabulary=True),
        options={"probability": "vocabulary"},
    ),
]
