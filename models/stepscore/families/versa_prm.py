"""VersaPRM, Llama-PRM800K and dPRM: the rows of `-` and `+` at the tag ` \\n\\n\\n\\n` that ends each step.

Source: UW-Madison-Lee-Lab/VersaPRM (arXiv 2502.06737) and db-Lee/Multi-RM, `discriminative/reward_model.py` and
`get_reward.py`.

The text is the problem, ` \\n\\n`, and each step with the tag (a space and four line breaks, one token of the Llama 3
and the Qwen2.5 vocabularies). Problem and steps are stripped, as the authors do; they also delete the tag from them,
which here is an error, since text is not changed in silence. `white_space=keep` strips nothing, and a step whose end
merges with the tag is then an error.
Aggregation is a parameter of the authors' code. The default is the minimum: labels stop at the first wrong step, so
the lowest reward is the trained verdict on the whole.
"""

from __future__ import annotations

from stepscore.family.heads import VocabularyHead
from stepscore.family.layout import LayoutContext
from stepscore.family.readers import softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.family.tagged import TaggedText

TAG = " \n\n\n\n"


def build(context: LayoutContext) -> Parts:
    tokenizer = context.tokenizer
    trimmed = context.options["white_space"] == "trim"
    layout = TaggedText(
        tokenizer, opening=" \n\n", tag=TAG, between="", refused=TAG, trimmed=trimmed, trimmed_problem=trimmed
    )
    return Parts(layout, VocabularyHead((tokenizer.last_id("-"), tokenizer.last_id("+"))), softmax_of(1))


FAMILY = Family(
    name="versa_prm",
    title="VersaPRM, Llama-PRM800K, dPRM",
    source=(
        "https://github.com/UW-Madison-Lee-Lab/VersaPRM",
        "https://arxiv.org/abs/2502.06737",
        "https://github.com/db-Lee/Multi-RM",
    ),
    licence="not stated; built on Llama 3.1 or Qwen",
    checkpoints=("UW-Madison-Lee-Lab/VersaPRM", "UW-Madison-Lee-Lab/Llama-PRM800K", "dongboklee/dPRM-14B"),
    prompt="{bos}{problem} \n\n{step 1} \n\n\n\n{step 2} \n\n\n\n",
    marker="` \\n\\n\\n\\n` (plain text, one token)",
    formula="softmax(logits of `-` and `+` at the tag)[1]",
    build=build,
    compared=(
        Compared("UW-Madison-Lee-Lab/VersaPRM", "81a3c99", "evaluation/prm_models/prm_llama.py"),
        Compared("db-Lee/Multi-RM", "65b3e8e", "discriminative/reward_model.py"),
    ),
    evidence=Evidence(
        architectures=(r".*ForCausalLM",), repositories=(r"versa[-_]?prm", r"llama-prm800k", r"(^|[/_-])dprm")
    ),
    options={"white_space": Option("trim", "white space at the ends of problem and steps", ("trim", "keep"))},
)
