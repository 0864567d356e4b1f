from functools import partial

import checkpoints_value_heads as checkpoints
from family_case import FamilyCase
from reference import reason_eval as reference

CASES = [
    FamilyCase(
        "reason_eval-7b", "reason_eval", checkpoints.reason_eval_7b, partial(reference.validity, model_size="7B")
    ),
    FamilyCase(
        "reason_eval-7b-legacy-tokenizer",
        "reason_eval",
        partial(checkpoints.reason_eval_7b, legacy=True),
        partial(reference.validity, model_size="7B"),
    ),
    FamilyCase(
        "reason_eval-34b", "reason_eval", checkpoints.reason_eval_34b, partial(reference.validity, model_size="34B")
    ),
    FamilyCase(
        "reason_eval-34b-legacy-tokenizer",
        "reason_eval",
        partial(checkpoints.reason_eval_34b, legacy=True),
        partial(reference.validity, model_size="34B"),
    ),
]
