from functools import partial

import checkpoints_outcome as checkpoints
from family_case import FamilyCase
from reference import outcome as reference

CASES = [
    FamilyCase(
        "orm_sequence_classification-llama",
        "orm_sequence_classification",
        partial(checkpoints.outcome, kind="llama"),
        reference.sequence_classification,
        special_marker="<|eot_id|>",
    ),
    FamilyCase(
        "orm_sequence_classification-qwen",
        "orm_sequence_classification",
        checkpoints.outcome,
        reference.sequence_classification,
        special_marker="<|im_end|>",
    ),
    FamilyCase(
        "acemath_rm",
        "acemath_rm",
        checkpoints.outcome,
        partial(reference.sequence_classification, system=reference.ACEMATH),
        special_marker="<|im_end|>",
    ),
    FamilyCase(
        "qwen_math_rm",
        "qwen_math_rm",
        checkpoints.qwen_math_rm,
        reference.qwen_math_rm,
        special_marker="<|im_end|>",
    ),
]
