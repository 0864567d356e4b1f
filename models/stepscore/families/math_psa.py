"""OpenR's Math-psa: the rows of ` +` and ` -` at the tag ` \\n\\n\\n\\n\\n` that ends each step.

Source: openreasoner/openr, `prm/infer_fns.py` and `prm/code/test_qwen.py` (arXiv 2410.09671).

The text is the problem, a space, and the steps, each followed by the tag and a space. The tag (a space and five line
breaks) is one token of Qwen2.5's vocabulary. The published weights are a LoRA adapter on Qwen2.5-Math-7B-Instruct:
merge it into the base first. The training code sets the label at the tag and the loss then shifts by one; the
authors' inference reads at the tag, and so does this.

The authors' examples number their steps (`Step 1: ...`); `numbering=as_written` (the default) adds nothing, as their
code does not, `if_absent` adds it. Steps are stripped, since white space before the tag merges with it;
`white_space=keep` makes that an error. The default aggregate is the minimum, which is OpenR's `prm_min_max`.
"""

from __future__ import annotations

from stepscore.family.heads import VocabularyHead
from stepscore.family.layout import LayoutContext
from stepscore.family.readers import softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.family.tagged import TaggedText, label_pair

TAG = " \n\n\n\n\n"


def build(context: LayoutContext) -> Parts:
    tokenizer, options = context.tokenizer, context.options
    layout = TaggedText(
        tokenizer,
        opening=" ",
        tag=TAG,
        between=" ",
        refused=TAG,
        numbered=options["numbering"] == "if_absent",
        trimmed=options["white_space"] == "trim",
    )
    return Parts(layout, VocabularyHead(label_pair(tokenizer, " + -")), softmax_of(0))


FAMILY = Family(
    name="math_psa",
    title="OpenR Math-psa",
    source=("https://github.com/openreasoner/openr", "https://arxiv.org/abs/2410.09671"),
    licence="not stated; built on Qwen2.5-Math",
    checkpoints=("openreasoner/Math-psa",),
    prompt="{problem} {step 1} \n\n\n\n\n {step 2} \n\n\n\n\n",
    marker="` \\n\\n\\n\\n\\n` (plain text, one token)",
    formula="softmax(logits of ` +` and ` -` at the tag)[0]",
    build=build,
    compared=(Compared("openreasoner/openr", "54ae004", "prm/infer_fns.py, reason/inference/rm_call.py"),),
    evidence=Evidence(architectures=(r".*ForCausalLM",), repositories=(r"math[-_]?psa",)),
    options={
        "numbering": Option("as_written", "whether `Step k: ` is written before a step", ("if_absent", "as_written")),
        "white_space": Option("trim", "white space at the ends of a step", ("trim", "keep")),
    },
)
