from functools import partial

import checkpoints
from family_case import FamilyCase
from reference import pure as reference

CASES = [
    FamilyCase("pure", "pure", checkpoints.token_classification, reference.step_rewards),
    FamilyCase(
        "pure-paragraphs",
        "pure",
        checkpoints.token_classification,
        partial(reference.step_rewards, separator="\n\n"),
        options={"separator": "\n\n"},
    ),
]
