"""Math-Shepherd: the rows of `+` and `-` at the tag ` ки` that ends each step.

Source: the model card of peiyi9979/math-shepherd-mistral-7b-prm (arXiv 2312.08935); the same in OpenR and PRMBench.

The text is the problem, a space, and the steps `Step k: ... ки` with line breaks between them, encoded as one string.
Tag and labels are found as the card does: `encode("ки")[-1]` and `encode("+ -")[1:]`. The tag is ordinary text, so
typing it is refused: the card's search for its id would take it for a step's end.

The card's solutions carry `Step k: `, and the model has seen no others. `numbering=if_absent` (the default) writes it
before a step that does not begin with "Step" or "step", and `white_space=trim` strips each step, both as PRMBench does;
text in the card's form is left as it is. `numbering=as_written` and `white_space=keep` change nothing.
The default aggregate is the minimum, as in the paper; search-and-learn takes the last reward.
"""

from __future__ import annotations

from stepscore.family.heads import VocabularyHead
from stepscore.family.layout import LayoutContext
from stepscore.family.readers import softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.family.tagged import TaggedText, label_pair

MARKER = "ки"


def build(context: LayoutContext) -> Parts:
    tokenizer, options = context.tokenizer, context.options
    layout = TaggedText(
        tokenizer,
        opening=" ",
        tag=f" {MARKER}",
        between="\n",
        refused=MARKER,
        numbered=options["numbering"] == "if_absent",
        trimmed=options["white_space"] == "trim",
    )
    return Parts(layout, VocabularyHead(label_pair(tokenizer, "+ -")), softmax_of(0))


FAMILY = Family(
    name="math_shepherd",
    title="Math-Shepherd",
    source=("https://huggingface.co/peiyi9979/math-shepherd-mistral-7b-prm", "https://arxiv.org/abs/2312.08935"),
    licence="not stated",
    checkpoints=("peiyi9979/math-shepherd-mistral-7b-prm",),
    prompt="{bos}{problem} Step 1: {step 1} ки\nStep 2: {step 2} ки",
    marker="` ки` (plain text)",
    formula="softmax(logits of `+` and `-` at the tag)[0]",
    build=build,
    compared=(
        Compared("ssmisya/PRMBench", "a1ae4ea", "mr_eval/models/math_shepherd.py"),
        Compared("openreasoner/openr", "54ae004", "prm/infer_fns.py, rm_call.py", "`numbering=as_written`"),
    ),
    evidence=Evidence(architectures=(r".*ForCausalLM",), repositories=(r"math[-_]?shepherd",)),
    options={
        "numbering": Option("if_absent", "whether `Step k: ` is written before a step", ("if_absent", "as_written")),
        "white_space": Option("trim", "white space at the ends of a step", ("trim", "keep")),
    },
)
