from functools import partial

import checkpoints_value_heads as checkpoints
from family_case import FamilyCase
from reference import tagged as reference

CASES = [
    FamilyCase(
        "math_shepherd",
        "math_shepherd",
        partial(checkpoints.causal, kind="mistral"),
        reference.math_shepherd,
        plain_marker="ки",
    ),
    FamilyCase(
        "math_shepherd-legacy-tokenizer",
        "math_shepherd",
        checkpoints.math_shepherd,
        reference.math_shepherd,
        plain_marker="ки",
    ),
    FamilyCase(
        "math_shepherd-card",
        "math_shepherd",
        partial(checkpoints.causal, kind="mistral", seed=3),
        reference.math_shepherd_card,
        options={"numbering": "as_written", "white_space": "keep"},
        plain_marker="ки",
    ),
    FamilyCase("er_prm", "er_prm", partial(checkpoints.causal, kind="llama"), reference.er_prm, plain_marker="ки"),
    FamilyCase(
        "math_psa",
        "math_psa",
        partial(checkpoints.causal, kind="qwen2"),
        reference.math_psa,
        plain_marker=" \n\n\n\n\n",
    ),
    FamilyCase(
        "versa_prm",
        "versa_prm",
        partial(checkpoints.causal, kind="llama"),
        reference.versa_prm,
        plain_marker=" \n\n\n\n",
    ),
    FamilyCase(
        "versa_prm-tied-qwen",
        "versa_prm",
        partial(checkpoints.causal, kind="qwen2", tie_word_embeddings=True),
        reference.versa_prm,
        plain_marker=" \n\n\n\n",
    ),
]
