"""Implicit PRMs: no head and no step labels; the reward is how far a policy has moved from its reference model.

Sources: the cards of PRIME-RL/EurusPRM-Stage1 and -Stage2; PRIME-RL/ImplicitPRM, `eval/processbench.py`,
`eval/prm_eval_utils.py` and `eval/bon_eval.py`; "Free Process Rewards without Process Labels", arXiv 2412.01981.

Policy and reference read the same chat (no system message, the answer is the steps joined by blank lines).
With lp[j] the log-probability of token j+1, c = cumsum(coef * (lp_policy - lp_reference) * mask), and step t has the
value c[b_t]. The boundaries are the authors' arithmetic, kept to the letter: the conversation with the first t steps
is rendered and stripped, a blank line is added if more steps follow, and b_t is the count of its ids minus two.
With Qwen's template the sum to b_t therefore takes in the separator and the first token of the next step, and the
last one the closing `<|im_end|>`. With Llama's the closing `<|eot_id|>` is cut before the count as long as more steps
follow, so the sum ends with the separator; the last one takes in the `<|eot_id|>`.
So a reward may change when a step is added, and a blank line that merges with the step shifts b_t by a token.

One thing that the best-of-N script does is not reproduced: for a tokenizer without a padding token (Llama 3.1's) it
pads with `<|eot_id|>` and hides from attention every token that equals the padding, so all `<|eot_id|>` of the prompt
too. That moves every reward, by 0.004 to 0.037 on random weights; with a padding token of its own the script gives the
rewards that are given here.

If sources conflict, both readings are offered by name:
`masking=card` (default) counts tokens from b_0 on, `processbench` from the one after.
`values=accumulated` (default: what card and ProcessBench script return) is c[b_t]; `single` (best-of-N script) is
c[b_t] - c[b_{t-1}], with c[b_0] taken as 0.
`coef` is 0.001 on the cards and 0.005 in the ProcessBench script. The reference model is Qwen2.5-Math-7B-Instruct in
copies of the card and Qwen2.5-7B-Instruct in the script; it is named when the model is opened, so none is assumed.
`step_prefix`: the card's example and the script both read `Step k: ` before each step; `missing` (default) writes it
if a step has none, which equals both.

Thresholds: the ProcessBench script compares sigmoid(value) with 0.5005 (0.002 before the sigmoid, for coef 0.005),
fitted on GSM8K; the default here is the neutral 0. Default aggregates are the cards': Stage 1 takes the minimum,
which also serves ImplicitPRM's own checkpoints; Stage 2 the accumulated reward of the whole answer, that is the last
accumulated value (with `values=single`, ask for `sum`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from stepscore.errors import InvalidOption, MarkerMerged
from stepscore.family.heads import TokenLogProbHead
from stepscore.family.layout import ChatTemplate, LayoutContext, Message, SequenceBuilder, Text, TracedBuilder, check
from stepscore.family.readers import Reader, join_rows
from stepscore.family.registry import Compared, Evidence, Family, Option, Parts, Training
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Reading, RewardRange, Solution, Values

SEPARATOR = "\n\n"
LLAMA_CLOSING = "<|eot_id|>"
_NUMBERED = re.compile(r"Step \d+:")


StepSpan = tuple[int, int, int]
"""A step, from 0, and [start, end) in its characters."""


@dataclass(frozen=True, slots=True)
class AnswerTokens:
    """One chat; reads every token of the answer. marks: the row of each step's boundary among those reads.

    early: rows begin with the first token at b_0, else with the one after it.
    """

    tokenizer: StepTokenizer
    template: ChatTemplate
    step_prefix: str
    early: bool

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        steps = [self._with_prefix(number, step) for number, step in enumerate(solution.steps, start=1)]
        whole = SequenceBuilder(self.tokenizer)
        self.template.write(whole, _conversation(solution.problem, steps))
        ids = whole.build().ids
        start, *ends = self._boundaries(solution.problem, steps)
        first, last = start - self.early, max(ends)
        if last + 2 > len(ids):
            raise MarkerMerged("white space at the end of a step merges with what follows; strip the step", step=None)
        reads = tuple(range(first, last + 1))
        sequence = Encoded(ids, reads, targets=ids[first + 1 : last + 2])
        return EncodedSolution((sequence,), steps=len(steps), marks=tuple(end - first for end in ends))

    def spans(self, solution: Solution) -> tuple[StepSpan | None, ...]:
        """For each token that is read, the characters of a step that it holds.

        None for tokens of `Step k: `, of the blank lines between steps, and of the template.
        """
        steps = [self._with_prefix(number, step) for number, step in enumerate(solution.steps, start=1)]
        builder = TracedBuilder(self.tokenizer)
        conversation = _conversation(solution.problem, steps)
        self.template.write(builder, conversation)
        builder.build()
        start, written = builder.user_texts[-1]
        answer = SEPARATOR.join(steps)
        start -= answer.index(written)  # a template that trims its messages has written less
        ranges, end = [], start - len(SEPARATOR)
        for own, step in zip(solution.steps, steps, strict=True):
            end += len(SEPARATOR) + len(step)
            ranges.append((end - len(own), end))
        (sequence,) = self.encode(solution).sequences
        return tuple(_step_span(builder.spans[read + 1], ranges) for read in sequence.reads)

    def _with_prefix(self, number: int, step: str) -> str:
        wanted = self.step_prefix == "always" or (self.step_prefix == "missing" and not _NUMBERED.match(step))
        return f"Step {number}: {step}" if wanted else step

    def _boundaries(self, problem: str, steps: Sequence[str]) -> Iterator[int]:
        """b_0, ..., b_T."""
        closed = self.template.frame(("user", "assistant")).strip()
        for count in range(len(steps) + 1):
            builder = SequenceBuilder(self.tokenizer)
            frame = closed.removesuffix(LLAMA_CLOSING) if count < len(steps) else closed
            self.template.fill(builder, frame, _conversation(problem, steps[:count]))
            if 0 < count < len(steps):
                builder.text(SEPARATOR)
            yield len(builder.build().ids) - 2


def _step_span(span: tuple[int, int] | None, ranges: Sequence[tuple[int, int]]) -> StepSpan | None:
    if span is None:
        return None
    for step, (start, end) in enumerate(ranges):
        first, last = max(span[0], start), min(span[1], end)
        if first < last:
            return step, first - start, last - start
    return None


def _conversation(problem: str, steps: Sequence[str]) -> list[Message]:
    return [Message("user", (Text(problem),)), Message("assistant", (Text(SEPARATOR.join(steps)),))]


def log_ratio(coef: float, single: bool) -> Reader:
    """reward of step t = coef * (sum of policy's - sum of reference's log-probabilities), up to its mark.

    logits: the two sums that each reward is made of.
    """

    def read(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
        sums_R2 = np.cumsum(join_rows(values).astype(np.float64), axis=0)
        chosen_S2 = sums_R2[list(encoded.marks)]
        if single:
            chosen_S2 = np.diff(chosen_S2, axis=0, prepend=0.0)
        rewards_S = coef * (chosen_S2[:, 0] - chosen_S2[:, 1])
        logits = tuple((float(policy), float(reference)) for policy, reference in chosen_S2)
        return Reading(tuple(float(reward) for reward in rewards_S), logits)

    return read


def build(context: LayoutContext) -> Parts:
    options = context.options
    layout = AnswerTokens(
        context.tokenizer, ChatTemplate(context.tokenizer), options["step_prefix"], options["masking"] == "card"
    )
    read = log_ratio(_coefficient(options["coef"]), options["values"] == "single")
    return Parts(layout, TokenLogProbHead(reference=True), read)


def _coefficient(text: str) -> float:
    try:
        coefficient = float(text)
    except ValueError as error:
        raise InvalidOption(f"coef={text!r} is not a number", option="coef", known=[]) from error
    if not 0.0 < coefficient < float("inf"):
        raise InvalidOption(f"coef={text!r} is not a positive number", option="coef", known=[])
    return coefficient


FAMILY = Family(
    name="implicit",
    title="Implicit PRM (EurusPRM-Stage1, ImplicitPRM)",
    source=(
        "https://huggingface.co/PRIME-RL/EurusPRM-Stage1",
        "https://github.com/PRIME-RL/ImplicitPRM",
        "https://arxiv.org/abs/2412.01981",
    ),
    licence="Apache-2.0 (EurusPRM), Llama 3.1 (ImplicitPRM)",
    checkpoints=(
        "PRIME-RL/EurusPRM-Stage1",
        "Windy0822/ImplicitPRM_DPO",
        "Windy0822/ImplicitPRM_CE",
    ),
    prompt=(
        "<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n"
        "Step 1: {step 1}\n\nStep 2: {step 2}<|im_end|>\n (after the chat template's own opening)"
    ),
    marker="none: every token of the answer is read, a step ends where the authors' count of ids puts it",
    reference=True,
    formula="coef * sum over tokens up to the step's end of (log p_policy - log p_reference)",
    build=build,
    training=Training("ForCausalLM", outputs=2),
    compared=(
        Compared("PRIME-RL/ImplicitPRM", "c044175", "eval/prm_eval_utils.py", "a padding token of its own is assumed"),
        Compared("PRIME-RL/ImplicitPRM", "c044175", "eval/processbench.py", "`masking=processbench`, `coef=0.005`"),
    ),
    evidence=Evidence(
        architectures=("Qwen2ForCausalLM", "LlamaForCausalLM"), repositories=("EurusPRM-Stage1", "ImplicitPRM")
    ),
    reward_range=RewardRange("log_ratio", float("-inf"), float("inf")),
    aggregate="min",
    threshold=0.0,
    options=MappingProxyType(
        {
            "coef": Option("0.001", "what the log-ratio is multiplied with"),
            "masking": Option("card", "from which token on the answer counts", ("card", "processbench")),
            "values": Option("accumulated", "sums from the start, or of each step alone", ("accumulated", "single")),
            "step_prefix": Option("missing", "when `Step k: ` is written first", ("missing", "always", "never")),
        }
    ),
)

STAGE2 = replace(
    FAMILY,
    name="implicit_stage2",
    training=None,
    title="Implicit PRM (EurusPRM-Stage2)",
    source=("https://huggingface.co/PRIME-RL/EurusPRM-Stage2", *FAMILY.source[1:]),
    licence="Apache-2.0",
    checkpoints=("PRIME-RL/EurusPRM-Stage2",),
    evidence=replace(FAMILY.evidence, repositories=("EurusPRM-Stage2",)),
    aggregate="last",
)
