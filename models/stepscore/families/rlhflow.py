"""RLHFlow's Llama 3.1 PRMs: a chat of many turns in which the model answers each step with `+` or `-`.

Source: RLHFlow/RLHF-Reward-Modeling, `math-rm/prm_evaluate.py` and its README. The first user message is the problem,
a space and the first step; every further step is a message of its own; steps are stripped. The conversation is
rendered by the checkpoint's own chat template with whatever system block it writes (Llama 3.1's writes dates) and
its trimming. The published loop runs one forward for each step, in which every earlier answer is `+`, and reads at
the token before the last `+`; one forward over all turns reads the same numbers.

If sources conflict, both readings are offered:
`probability=pair` (default: RLHFlow and search-and-learn) is the softmax over the rows of `+` and `-`;
`vocabulary` (PRMBench) is the probability of `+` among all tokens.
`opening=space` (default: RLHFlow) joins problem and first step with a space, `paragraph` (ProcessBench) with a blank
line.
The default aggregate is the mean, which the authors' best-of-N uses; search-and-learn takes the last reward.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stepscore.family.heads import TokenLogProbHead, VocabularyHead
from stepscore.family.layout import ChatTemplate, LayoutContext
from stepscore.family.layouts import AnsweredTurns
from stepscore.family.readers import join_rows, reading, softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.types import EncodedSolution, Reading, Values

GOOD, BAD = "+", "-"
OPENINGS = {"space": "{problem} {step}", "paragraph": "{problem}\n\n{step}"}


def probability(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    """reward = exp(log-probability of the good answer)."""
    logs_S1 = join_rows(values)
    return reading(np.exp(logs_S1[:, 0].astype(np.float64)), logs_S1)


def build(context: LayoutContext) -> Parts:
    tokenizer, options = context.tokenizer, context.options
    good, bad = tokenizer.last_id(GOOD), tokenizer.last_id(BAD)
    whole = options["probability"] == "vocabulary"
    layout = AnsweredTurns(
        tokenizer,
        ChatTemplate(tokenizer),
        OPENINGS[options["opening"]],
        GOOD,
        strip=True,
        target=good if whole else None,
    )
    if whole:
        return Parts(layout, TokenLogProbHead(reference=False), probability)
    return Parts(layout, VocabularyHead((good, bad)), softmax_of(0))


FAMILY = Family(
    name="rlhflow",
    title="RLHFlow Llama 3.1 PRM",
    source=("https://github.com/RLHFlow/RLHF-Reward-Modeling/tree/main/math-rm",),
    licence="not stated; built on Llama 3.1",
    checkpoints=("RLHFlow/Llama3.1-8B-PRM-Mistral-Data", "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data"),
    prompt=(
        "{chat template's own opening}"
        "<|start_header_id|>user<|end_header_id|>\n\n{problem} {step 1}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n+<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n{step 2}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n+<|eot_id|>"
    ),
    marker="the token before each assistant's `+`",
    formula="softmax(logits of `+` and `-`)[0]",
    build=build,
    compared=(
        Compared("RLHFlow/RLHF-Reward-Modeling", "fc39179", "math-rm/prm_evaluate.py, select_sample"),
        Compared("ssmisya/PRMBench", "a1ae4ea", "mr_eval/models/llama3_1_8b_prm.py", "`probability=vocabulary`"),
    ),
    evidence=Evidence(
        architectures=("LlamaForCausalLM",),
        repositories=(r"rlhflow(?!.*(-ORM-|ArmoRM))", r"Llama-?3\.1-8B-PRM-(Mistral|Deepseek)-Data"),
    ),
    aggregate="mean",
    options={
        "probability": Option("pair", "of `+` against `-`, or among the whole vocabulary", ("pair", "vocabulary")),
        "opening": Option("space", "what stands between problem and first step", ("space", "paragraph")),
    },
)
