"""ReasonEval: three classes (negative, neutral, positive) before each step's separator; validity and redundancy.

Source: GAIR-NLP/ReasonEval, `codes/examples.py` (arXiv 2404.05692).

The text is `Question:\\n{problem}\\nAnswer:\\nLet's think step by step.\\n` and the steps. The authors put the padding
token after the prompt and after each step, encode, note where these tokens are, and take them out again, so that no
piece merges with the next and no separator is left. Validity is p(neutral) + p(positive), redundancy p(neutral).

`tokenisation` names the two published variants. In `34B` the numbers are read at a step's last token. In `7B` the
padding token is also the BOS: it is removed with the separators and put back in front, which moves every token by one
and the noted positions not at all, so that the numbers are read one token before the step's last. Both are reproduced
as they are, since the published numbers were made so. `auto` takes `7B` if the base is a Mistral.
The rewards are the validities, redundancy is an extra; the default aggregate is the minimum, as the authors take for
validity (and the maximum for redundancy, whose threshold is 0.15).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from stepscore.errors import CheckpointError
from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext, SequenceBuilder, check
from stepscore.family.readers import join_rows, reading, softmax
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Reading, Solution, Values

PROMPT = "Question:\n{problem}\nAnswer:\nLet's think step by step.\n"
AUTO, SMALL, LARGE = "auto", "7B", "34B"
NEUTRAL, POSITIVE = 1, 2


@dataclass(frozen=True, slots=True)
class SplitText:
    """bos, prompt and steps, which the separator kept apart; reads `back` tokens before each step's last."""

    tokenizer: StepTokenizer
    bos: tuple[int, ...]
    back: int

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        opening = self.tokenizer.encode(PROMPT.format(problem=solution.problem))[0]
        builder = SequenceBuilder(self.tokenizer).token(*self.bos, *opening)
        for step in solution.steps:
            builder.text(step).token().read()
        encoded = builder.build()
        reads = tuple(position - self.back for position in encoded.reads)
        return EncodedSolution((Encoded(encoded.ids, reads),), steps=len(solution.steps))


def validity(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    """rewards = p(neutral) + p(positive); extras: redundancy = p(neutral)."""
    logits_SC = join_rows(values)
    p_SC = softmax(logits_SC)
    redundancy = tuple(float(number) for number in p_SC[:, NEUTRAL])
    plain = reading(p_SC[:, NEUTRAL] + p_SC[:, POSITIVE], logits_SC)
    return replace(plain, extras=MappingProxyType({"redundancy": redundancy}))


def build(context: LayoutContext) -> Parts:
    variant = context.options["tokenisation"]
    if variant == AUTO:
        variant = SMALL if context.config.get("model_type") == "mistral" else LARGE
    layout = _small(context) if variant == SMALL else SplitText(context.tokenizer, context.tokenizer.bos, back=0)
    return Parts(layout, LinearHead(("score_head",), outputs=3), validity)


def _small(context: LayoutContext) -> SplitText:
    bos = context.tokenizer.inner.bos_token_id
    if not isinstance(bos, int):
        raise CheckpointError("the tokenizer names no BOS token, which the 7B tokenisation puts in front")
    return SplitText(context.tokenizer, (bos,), back=1)


FAMILY = Family(
    name="reason_eval",
    title="ReasonEval",
    source=("https://github.com/GAIR-NLP/ReasonEval", "https://arxiv.org/abs/2404.05692"),
    licence="not stated",
    checkpoints=("GAIR/ReasonEval-7B", "GAIR/ReasonEval-34B"),
    prompt="{bos}Question:\n{problem}\nAnswer:\nLet's think step by step.\n{step 1}{step 2}",
    marker="the step's last token (34B), the token before it (7B)",
    formula="softmax(logits)[1] + softmax(logits)[2]",
    build=build,
    compared=(Compared("GAIR-NLP/ReasonEval", "6c91c7a", "codes/examples.py, get_results", "both sizes"),),
    evidence=Evidence(
        architectures=(r"ReasonEval.*", r".*ForCausalLM", r"(Llama|Mistral)Model"), tensors=(r"score_head\.weight",)
    ),
    options={"tokenisation": Option(AUTO, "the published variant", (AUTO, SMALL, LARGE))},
)
