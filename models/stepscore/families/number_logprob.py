"""The language-model reading: how surprised a language model is by the numbers of a step.

The reading of the checkpoint that ships with the project. A policy fine-tuned on worked solutions knows what a sound
step would compute; where a step writes another number, the log-probability of that number falls. No step labels are
needed, and none were used. The reward is a logistic of the lowest log-probability among the step's digits; its two
constants, fitted on held-out corrupted steps, stand in the checkpoint's config.json under `number_logprob`.
A step without a digit is read by its least likely token, with constants of its own.

Source: the project's own; the idea is the likelihood-based reading of a policy, as in implicit PRMs
(arXiv 2412.01981) without a reference model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from stepscore.errors import CheckpointError
from stepscore.heads import TokenLogProbHead
from stepscore.layout import LayoutContext, SequenceBuilder, check
from stepscore.readers import joined, sigmoid
from stepscore.registry import Evidence, Family, Parts
from stepscore.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Reading, Solution, Values

CONFIG_KEY = "number_logprob"
_DIGIT = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True)
class Calibration:
    """reward = sigmoid(slope * (lowest log-probability) + offset); one pair for steps with digits, one for others."""

    slope: float
    offset: float
    wordy_slope: float
    wordy_offset: float

    @classmethod
    def of(cls, config: Mapping[str, object]) -> Calibration:
        """Raises CheckpointError where config.json carries no constants."""
        found = config.get(CONFIG_KEY)
        if not isinstance(found, dict):
            raise CheckpointError(f"config.json has no {CONFIG_KEY!r} constants, so there is no reward", key=CONFIG_KEY)
        return cls(**{name: float(found[name]) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class PlainChat:
    """One question and its answer, a step a line; reads before every token of every step.

    Of a step with digits only the digits are read. marks: for each step, the number of its reads, negative where the
    step has no digit.
    """

    tokenizer: StepTokenizer
    digits: frozenset[int]

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        whole = write(self.tokenizer, solution)
        ends = whole.reads
        reads: list[int] = []
        marks: list[int] = []
        for start, end in pairwise(ends):
            chosen, wordy = self._chosen(whole.ids, start, end)
            reads += chosen
            marks.append(-len(chosen) if wordy else len(chosen))
        targets = tuple(whole.ids[read + 1] for read in reads)
        return EncodedSolution((Encoded(whole.ids, tuple(reads), targets),), len(solution.steps), tuple(marks))

    def _chosen(self, ids: tuple[int, ...], start: int, end: int) -> tuple[list[int], bool]:
        """Positions before the step's digits, or before all of its tokens where it has none."""
        every = range(start, end)
        before_digits = [position for position in every if ids[position + 1] in self.digits]
        return (before_digits, False) if before_digits else (list(every), True)


def write(tokenizer: StepTokenizer, solution: Solution) -> Encoded:
    """The tokens of a solution; the reads are the last token before the answer, then the last one of each step."""
    builder = SequenceBuilder(tokenizer).template("<|im_start|>user\n").text(solution.problem)
    builder.template("<|im_end|>\n<|im_start|>assistant\n").read()
    for step in solution.steps:
        builder.text(step).text("\n").read()
    return builder.build()


def read(calibration: Calibration, values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    logprobs = joined(values)[:, 0]
    lowest = np.empty(encoded.steps, dtype=np.float64)
    logits = np.empty(encoded.steps, dtype=np.float64)
    start = 0
    for step, mark in enumerate(encoded.marks):
        lowest[step] = logprobs[start : start + abs(mark)].min()
        slope, offset = (
            (calibration.slope, calibration.offset) if mark > 0 else (calibration.wordy_slope, calibration.wordy_offset)
        )
        logits[step] = slope * lowest[step] + offset
        start += abs(mark)
    rewards = sigmoid(logits)
    return Reading(
        rewards=tuple(map(float, rewards)),
        logits=tuple((float(logit),) for logit in logits),
        extras={"lowest_logprob": tuple(map(float, lowest))},
    )


def digit_tokens(tokenizer: StepTokenizer) -> frozenset[int]:
    """Ids of all tokens that hold an ASCII digit."""
    return frozenset(index for token, index in tokenizer.inner.get_vocab().items() if _DIGIT.search(token))


def build(context: LayoutContext) -> Parts:
    layout = PlainChat(context.tokenizer, digit_tokens(context.tokenizer))
    return Parts(layout, TokenLogProbHead(reference=False), partial(read, Calibration.of(context.config)))


FAMILY = Family(
    name="number_logprob",
    title="Language-model reading of numbers",
    source=("https://arxiv.org/abs/2412.01981",),
    licence="Apache-2.0",
    checkpoints=("embedded",),
    prompt="<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n{step 1}\n{step 2}\n",
    marker="none: every digit of a step is read",
    formula="sigmoid(a * min over the step's digits of log p(digit) + b)",
    build=build,
    evidence=Evidence(architectures=("LlamaForCausalLM",), repositories=(r"^embedded$", r"stepscore-embedded")),
)
