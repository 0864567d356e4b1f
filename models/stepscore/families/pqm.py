r"""PQM: the raw value at the added token `[PRM]` that ends each step.

Source: WindyLee0822/Process_Q_Model, `bon_eval_hf.py` and `train_main.py` (arXiv 2410.11287).

Both scripts write `Step k: ` before every step (numbering anew what is numbered already), strip the steps, and encode
the whole text without a BOS. They differ in what precedes the answer, so `prompt` names them:
`evaluation` (default: best-of-N, which made the published numbers) is an instruction that ends in "Let's think step by
step"; `training` is `[INST] {problem} [/INST]`.
`numbering=from_1` (default) is that of training, and of best-of-N for a response whose first step carries no mark. The
best-of-N loop counts the empty text in front of a mark too, so a response that begins with `Step 1:` is numbered from
2; `numbering=from_2` writes that.
RyanLiu112/compute-optimal-tts scores PQM too, with the tokenizer's BOS, the bare problem and the steps as they are:
`compute_optimal_tts` has a line break after the problem, which its code writes for a path that contains `pqm`, and
`compute_optimal_tts_space` a space, which it writes for the published spelling, `PQM`.

The value is a Q-value, trained by comparison, and unbounded: no sigmoid is applied, so the reward is the value itself
and only its order has a meaning. The default aggregate is the minimum, as in best-of-N; the threshold is 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stepscore.errors import EmptyStep
from stepscore.family.heads import LinearHead
from stepscore.family.layout import LayoutContext, SequenceBuilder, check
from stepscore.family.readers import raw_value
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts, Training
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, RewardRange, Solution

MARKER = "[PRM]"
EVALUATION = (
    "Below is an instruction that describes a task.\nWrite a response that appropriately completes the request.\n\n"
    "### Instruction:\n{problem}\n\n### Response: Let's think step by step\n"
)
_NUMBER = re.compile(r"\s*Step \d+:")


@dataclass(frozen=True, slots=True)
class PqmPrompt:
    """opening: what precedes the first step. bos: whether the tokenizer's own BOS does. numbered: `Step k: `."""

    opening: str
    bos: bool = False
    numbered: bool = True


PROMPTS: Mapping[str, PqmPrompt] = MappingProxyType(
    {
        "evaluation": PqmPrompt(EVALUATION),
        "training": PqmPrompt("[INST] {problem} [/INST]\n"),
        "compute_optimal_tts": PqmPrompt("{problem}\n", bos=True, numbered=False),
        "compute_optimal_tts_space": PqmPrompt("{problem} ", bos=True, numbered=False),
    }
)


@dataclass(frozen=True, slots=True)
class MarkedText:
    """The opening, then each step, a space and the marker, with line breaks between; reads the marker."""

    tokenizer: StepTokenizer
    marker: int
    prompt: PqmPrompt
    first: int

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        before, after = self.prompt.opening.split("{problem}")
        builder = SequenceBuilder(self.tokenizer)
        if self.prompt.bos:
            builder.bos()
        builder.text(before).text(solution.problem).text(after)
        for index, step in enumerate(solution.steps):
            builder.text("\n" if index else "").text(f"{self._write(index, step)} ").token(self.marker).read()
        return EncodedSolution((builder.build(),), steps=len(solution.steps))

    def _write(self, index: int, step: str) -> str:
        if not self.prompt.numbered:
            return step.strip()
        bare = _NUMBER.sub("", step, count=1).strip() if _NUMBER.match(step) else step.strip()
        if not bare:
            raise EmptyStep(f"step {index} holds nothing but its number; leave it out or write it", step=index)
        return f"Step {self.first + index}: {bare}"


def build(context: LayoutContext) -> Parts:
    prompt = PROMPTS[context.options["prompt"]]
    first = 1 if context.options["numbering"] == "from_1" else 2
    layout = MarkedText(context.tokenizer, context.tokenizer.token_id(MARKER), prompt, first)
    return Parts(layout, LinearHead(("v_head.summary",), outputs=1), raw_value)


FAMILY = Family(
    name="pqm",
    title="PQM",
    source=("https://github.com/WindyLee0822/Process_Q_Model", "https://arxiv.org/abs/2410.11287"),
    licence="not stated; built on deepseek-math-7b-base",
    checkpoints=("Windy0822/PQM",),
    prompt=EVALUATION + "Step 1: {step 1} [PRM]\nStep 2: {step 2} [PRM]",
    marker="[PRM] (added token)",
    formula="the value at the marker",
    build=build,
    training=Training("ForCausalLM", ("v_head.summary",), marker="[PRM]"),
    evidence=Evidence(
        architectures=(r".*ForCausalLM",), tensors=(r"v_head\.summary\.weight",), repositories=(r"(^|[/_-])pqm",)
    ),
    reward_range=RewardRange("real", float("-inf"), float("inf")),
    threshold=0.0,
    markers=(MARKER,),
    options={
        "prompt": Option("evaluation", "what stands before the steps, and whether they are numbered", tuple(PROMPTS)),
        "numbering": Option("from_1", "the first step's number, in the authors' two prompts", ("from_1", "from_2")),
    },
    compared=(
        Compared("WindyLee0822/Process_Q_Model", "c5a2a02", "bon_eval_hf.py, value_model.py"),
        Compared("WindyLee0822/Process_Q_Model", "c5a2a02", "train_main.py", "`prompt=training`"),
        Compared(
            "RyanLiu112/compute-optimal-tts",
            "0ee2578",
            "src/reason/inference/infer_fns.py, src/reason/evaluation/evaluate.py",
            "`prompt=compute_optimal_tts` and `compute_optimal_tts_space`",
        ),
    ),
)
