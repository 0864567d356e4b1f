"""TRL's PRMTrainer outputs: `*ForTokenClassification` with two labels, read at the separator after each step.

Source: huggingface/trl, `trl/experimental/prm/prm_trainer.py` and its documentation page.

Two tokenisations are published and give different ids. `train_exact` (the default, because it is what the weights
were trained on) encodes the problem, each step and each separator for itself and joins the ids, with no separator
between problem and first step; a BOS comes first if the tokenizer names one, whether or not it would add it
itself. `pipeline` is the documented inference: the strings are joined with separators, one
after the problem too, and encoded together, so that a separator may merge with the text before it.
A separator that the tokenizer holds as an added token (`<extra_0>`) is that token, as TRL's `encode` gives it; typed in
a step it is text. With a separator of one line break, steps that contain one are still read once, because the position
is noted while writing.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext, SequenceBuilder, check
from stepscore.family.layouts import SeparatedSteps, separator_of
from stepscore.family.readers import softmax_of
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts, Training
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Solution


@dataclass(frozen=True, slots=True)
class Pipeline:
    """separator.join((problem, *steps[:k])) + separator, encoded together, one sequence per prefix; reads the last id.

    Prefixes are encoded one by one because a separator may merge with white space that opens the next step.
    """

    tokenizer: StepTokenizer
    separator: str

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        texts = (solution.problem, *solution.steps)
        prefixes = (self._prefix(texts[: count + 1]) for count in range(1, len(texts)))
        return EncodedSolution(tuple(prefixes), steps=len(solution.steps))

    def _prefix(self, texts: tuple[str, ...]) -> Encoded:
        builder = SequenceBuilder(self.tokenizer).bos()
        for text in texts:
            builder.text(text).template(self.separator)
        return builder.read().build()


def build(context: LayoutContext) -> Parts:
    layout: Pipeline | SeparatedSteps
    if context.options["tokenisation"] == "pipeline":
        layout = Pipeline(context.tokenizer, separator_of(context))
    else:
        layout = SeparatedSteps.of(context, _named_bos(context.tokenizer))
    return Parts(layout, LinearHead(("score",), outputs=2), softmax_of(1))


def _named_bos(tokenizer: StepTokenizer) -> tuple[int, ...]:
    """TRL: `if tokenizer.bos_token_id is not None: prompt_ids = [tokenizer.bos_token_id] + prompt_ids`."""
    bos = tokenizer.inner.bos_token_id
    return (bos,) if isinstance(bos, int) else ()


FAMILY = Family(
    name="token_classification",
    title="TRL token classification",
    source=("https://github.com/huggingface/trl/tree/v0.24.0/trl/trainer/prm_trainer.py",),
    licence="each checkpoint's own",
    checkpoints=("HuggingFaceH4/Qwen2.5-Math-1.5B-Instruct-PRM-0.2", "HuggingFaceH4/Qwen2.5-Math-7B-Instruct-PRM-0.2"),
    prompt="{bos}{problem}{step 1}\n{step 2}\n",
    marker="the separator (text, default a line break), its last token",
    formula="softmax(logits at the separator)[1]",
    build=build,
    training=Training(
        "ForTokenClassification",
        ("score",),
        2,
        config=MappingProxyType(
            {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
        ),
    ),
    compared=(Compared("huggingface/trl", "f2cd577", "trl/experimental/prm/prm_trainer.py, tokenize_row"),),
    evidence=Evidence(architectures=(r".*ForTokenClassification",), tensors=(r"score\.weight",)),
    options={
        "tokenisation": Option(
            "train_exact", "as in training, or as in the documented pipeline", ("train_exact", "pipeline")
        ),
        "separator": Option("\n", "the text after each step"),
    },
)
