"""ER-PRM: Math-Shepherd's tag on Llama 3.1, without line breaks, and the rows of ` +` and ` -`.

Source: hanningzhang/ER-PRM, `evaluation/evaluate_math_reward_model.py` (arXiv 2412.11006); compute-optimal-tts.

The text is the problem, a space and the steps, each ended by ` ки` with nothing before the next one (the authors
replace ` ки\\n` by ` ки`). Tag and labels are the last ids of ` ки`, ` +` and ` -`. Steps are stripped, as
compute-optimal-tts does; `white_space=keep` leaves them. Typing the tag is refused.
The default aggregate is the minimum, which the authors' best-of-N takes.
"""

from __future__ import annotations

from stepscore.family.heads import VocabularyHead
from stepscore.family.layout import LayoutContext
from stepscore.family.readers import softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.family.tagged import TaggedText

MARKER = "ки"


def build(context: LayoutContext) -> Parts:
    tokenizer = context.tokenizer
    trimmed = context.options["white_space"] == "trim"
    layout = TaggedText(tokenizer, opening=" ", tag=f" {MARKER}", between="", refused=MARKER, trimmed=trimmed)
    return Parts(layout, VocabularyHead((tokenizer.last_id(" +"), tokenizer.last_id(" -"))), softmax_of(0))


FAMILY = Family(
    name="er_prm",
    title="ER-PRM",
    source=("https://github.com/hanningzhang/ER-PRM", "https://arxiv.org/abs/2412.11006"),
    licence="not stated; built on Llama 3.1",
    checkpoints=("HanningZhang/Llama3.1-Math-PRM",),
    prompt="{bos}{problem} {step 1} ки{step 2} ки",
    marker="` ки` (plain text), its last token",
    formula="softmax(logits of ` +` and ` -` at the tag)[0]",
    build=build,
    compared=(Compared("hanningzhang/ER-PRM", "5a996d4", "evaluation/evaluate_math_reward_model.py, select_sample"),),
    evidence=Evidence(
        architectures=(r".*ForCausalLM",), repositories=(r"llama-?3\.1-math-prm", r"(^|[/_-])er[-_]?prm")
    ),
    options={"white_space": Option("trim", "white space at the ends of a step", ("trim", "keep"))},
)
