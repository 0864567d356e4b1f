from functools import partial

import checkpoints_causal as checkpoints
from family_case import FamilyCase
from reference import path_finder as reference

CASES = [
    FamilyCase("path_finder", "path_finder", checkpoints.path_finder, reference.step_rewards, special_marker="<extra>"),
    FamilyCase(
        "path_finder-card",
        "path_finder",
        partial(checkpoints.path_finder, seed=6),
        partial(reference.step_rewards, instruction=reference.CARD),
        options={"wording": "card"},
        special_marker="<+>",
    ),
]
