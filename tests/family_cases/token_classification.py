from functools import partial

import checkpoints
from family_case import FamilyCase
from reference import token_classification as reference

CASES = [
    FamilyCase(
        "token_classification", "token_classification", checkpoints.token_classification, reference.step_rewards
    ),
    FamilyCase(
        "token_classification-llama",
        "token_classification",
        partial(checkpoints.token_classification, kind="llama"),
        reference.step_rewards,
    ),
    FamilyCase(
        "token_classification-named-bos",
        "token_classification",
        partial(checkpoints.token_classification, bos="<|endoftext|>"),
        reference.step_rewards,
    ),
    FamilyCase(
        "token_classification-paragraphs",
        "token_classification",
        checkpoints.token_classification,
        partial(reference.step_rewards, separator="\n\n"),
        options={"separator": "\n\n"},
    ),
    FamilyCase(
        "token_classification-pipeline",
        "token_classification",
        partial(checkpoints.token_classification, kind="llama"),
        partial(reference.pipeline_rewards, separator="\n\n"),
        options={"separator": "\n\n", "tokenisation": "pipeline"},
    ),
]
