"""FoVer PRMs: a chat of many turns in which the model answers each step with `correct` or `incorrect`.

Source: psunlpgroup/FoVer, `src/prm/preprocessing.py` (the conversation) and `src/prm/postprocessing.py` (the reading);
"Generalizable Process Reward Models via Formally Verified Training Data", arXiv 2505.15960.

The template's `** Sotluion **` is the authors' own spelling, with which the weights were trained. Every answer in the
conversation is the dummy `correct`; the reward is read at the token before it (the line breaks that end the header),
from the first tokens of `incorrect` and `correct`. Steps are not stripped, except by the chat template.
The default aggregate is the minimum, as in the paper.
"""

from __future__ import annotations

from stepscore.family.heads import VocabularyHead
from stepscore.family.layout import ChatTemplate, LayoutContext
from stepscore.family.layouts import AnsweredTurns
from stepscore.family.readers import softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Parts

GOOD, BAD = "correct", "incorrect"
OPENING = (
    "** Problem **\n{problem}\n\n** Task **\nYour task is to evaluate the accuracy of each step in the provided "
    'solution to the above question. For each step, respond with "correct" if the reasoning is logically valid and '
    "mathematically sound, or if the step is a general statement or transition that does not contain reasoning. "
    'Respond with "incorrect" if the step includes any errors or flawed logic.\n\n** Sotluion **\n{step}'
)


def build(context: LayoutContext) -> Parts:
    tokenizer = context.tokenizer
    layout = AnsweredTurns(tokenizer, ChatTemplate(tokenizer), OPENING, GOOD)
    bad, good = (tokenizer.encode(answer)[0][0] for answer in (BAD, GOOD))
    return Parts(layout, VocabularyHead((bad, good)), softmax_of(1))


FAMILY = Family(
    name="fover",
    title="FoVer PRM",
    source=("https://github.com/psunlpgroup/FoVer", "https://arxiv.org/abs/2505.15960"),
    licence="each base model's own (Llama 3.1, Qwen2.5); the code is Apache-2.0",
    checkpoints=(
        "ryokamoi/Llama-3.1-8B-FoVer-PRM",
        "ryokamoi/Qwen-2.5-7B-FoVer-PRM",
        "ryokamoi/Llama-3.1-8B-FoVer-PRM-2026",
    ),
    prompt=(
        "user: ** Problem **\n{problem}\n\n** Task **\nYour task is to evaluate the accuracy of each step [...]"
        "\n\n** Sotluion **\n{step 1}\nassistant: correct\nuser: {step 2}\nassistant: correct\n"
        "(rendered by the checkpoint's own chat template)"
    ),
    marker="the token before each assistant's `correct`",
    formula="softmax(logits of `incorrect` and `correct`, their first tokens)[1]",
    build=build,
    compared=(Compared("psunlpgroup/FoVer", "742fcf9", "src/prm/preprocessing.py, src/prm/postprocessing.py"),),
    evidence=Evidence(architectures=("LlamaForCausalLM", "Qwen2ForCausalLM"), repositories=("fover",)),
    aggregate="min",
)
