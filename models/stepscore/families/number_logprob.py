"""The language-model reading: how surprised a language model is by the numbers of a step.

The reading of the checkpoint that ships with the project. A policy fine-tuned on worked solutions knows what a sound
step would compute; if a step writes another number, the log-probability of that number falls. That needs no step
labels; a model that was trained on some through this very reading is read alike. The reward is a logistic of the lowest
log-probability among the events of the step's numbers:

- the first digit of a number, given that a digit follows, so that the choice of words costs nothing;
- every further digit of it;
- its end: that no digit follows (not below log 0.001);
- the operation right after it, given that one follows; its spacing and its sign (`x`, `*`, `×`) cost nothing.

Its two constants are in the checkpoint's config.json under `number_logprob`; they are fitted on labelled steps, or
trained with the weights. A step without a digit is read by its least likely token, with constants of its own.

Source: the project's own; the idea is the likelihood-based reading of a policy, as in implicit PRMs
(arXiv 2412.01981) without a reference model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stepscore.errors import CheckpointError
from stepscore.family.heads import TokenLogProbHead
from stepscore.family.layout import LayoutContext, SequenceBuilder, check
from stepscore.family.readers import join_rows, sigmoid
from stepscore.family.registry import Evidence, Family, Parts, Training
from stepscore.family.trained_reading import TrainedReading
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Reading, Solution, Values

CONFIG_KEY = "number_logprob"
DIGITS = "0123456789"
OPERATIONS = ("+", "-−", "*x×", "/÷")
"""The signs of each operation."""

END_FLOOR = 1e-3
"""Less probability than this is left to the end of a number only by rounding."""


@dataclass(frozen=True, slots=True)
class NumberCurve:
    """reward = sigmoid(slope * (lowest log-probability) + offset); one pair for steps with digits, one for others."""

    slope: float
    offset: float
    wordy_slope: float
    wordy_offset: float

    @classmethod
    def of(cls, config: Mapping[str, object]) -> NumberCurve:
        """Raises CheckpointError if config.json carries no constants."""
        found = config.get(CONFIG_KEY)
        if not isinstance(found, dict):
            raise CheckpointError(f"config.json has no {CONFIG_KEY!r} constants, so there is no reward", key=CONFIG_KEY)
        return cls(**{name: float(found[name]) for name in cls.__slots__})


START = NumberCurve(slope=0.774, offset=2.632, wordy_slope=0.387, wordy_offset=4.321)
"""Fitted on a language model of worked solutions, with as many wrong steps as sound ones; training starts there."""


@dataclass(frozen=True, slots=True)
class PlainChat:
    """One question and its answer, a step a line.

    Of a step with digits the places before each digit and after the last digit of each number are read, of another one
    those before all of its tokens. marks: for each step, the number of its reads, negative if it has no digit.
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
        """Positions in or right before the step's numbers, or before all of its tokens if it has none."""
        every = range(start, end)
        numbers = [place for place in every if ids[place] in self.digits or ids[place + 1] in self.digits]
        return (numbers, False) if numbers else (list(every), True)


def write(tokenizer: StepTokenizer, solution: Solution) -> Encoded:
    """The tokens of a solution; the reads are the last token before the answer, then the last one of each step."""
    builder = SequenceBuilder(tokenizer).template("<|im_start|>user\n").text(solution.problem)
    builder.template("<|im_end|>\n<|im_start|>assistant\n").read()
    for step in solution.steps:
        builder.text(step).text("\n").read()
    return builder.build()


@dataclass(frozen=True, slots=True)
class Symbols:
    """Token ids of the ten digits, sorted, and of the signs of each operation."""

    digits: tuple[int, ...]
    operations: tuple[tuple[int, ...], ...]

    @property
    def signs(self) -> tuple[int, ...]:
        return tuple(sign for operation in self.operations for sign in operation)

    @property
    def beside(self) -> tuple[int, ...]:
        return self.digits + self.signs


def read(calibration: NumberCurve, symbols: Symbols, values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    surprises = _events(join_rows(values).astype(np.float64), encoded.sequences[0], symbols)
    lowest = np.empty(encoded.steps, dtype=np.float64)
    logits = np.empty(encoded.steps, dtype=np.float64)
    start = 0
    for step, mark in enumerate(encoded.marks):
        lowest[step] = surprises[start : start + abs(mark)].min()
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


def _events(logprobs: NDArray[np.float64], sequence: Encoded, symbols: Symbols) -> NDArray[np.float64]:
    """(S,) log-probabilities of what happens at the reads.

    logprobs: (S, 1 + 10 + signs), the target's, then those of digits and signs.
    """
    own, digits = logprobs[:, 0], logprobs[:, 1 : 1 + len(symbols.digits)]
    digit = np.logaddexp.reduce(digits, axis=1)
    before = np.array([sequence.ids[read] in symbols.digits for read in sequence.reads])
    now = np.array([target in symbols.digits for target in sequence.targets])
    end = np.log(np.maximum(-np.expm1(np.minimum(digit, 0.0)), END_FLOOR))
    end = np.minimum(end, _operation(logprobs[:, 1 + len(symbols.digits) :], sequence.targets, symbols))
    return np.select([now & ~before, before & ~now], [own - digit, end], own)


def _operation(signs: NDArray[np.float64], targets: Sequence[int], symbols: Symbols) -> NDArray[np.float64]:
    """(S,) log-probability of the target's operation given that a sign follows; 0 if the target is not a sign."""
    of_sign = np.repeat(np.arange(len(symbols.operations)), list(map(len, symbols.operations)))
    places = dict(zip(symbols.signs, of_sign, strict=True))
    own = np.array([places.get(target, -1) for target in targets])
    signed = own >= 0
    alike = np.where(of_sign == own[signed, None], signs[signed], -np.inf)
    found = np.zeros(len(targets))
    found[signed] = np.logaddexp.reduce(alike, axis=1) - np.logaddexp.reduce(signs[signed], axis=1)
    return found


class NumberReading(TrainedReading):
    """`read` in torch, up to the log-odds: what is served is what is trained. constants: a curve's four, trained.

    Shape suffixes: S read positions, N steps, V vocabulary, K signs.
    """

    digits: Tensor
    signs: Tensor
    operations: Tensor

    def __init__(self, symbols: Symbols, start: NumberCurve) -> None:
        super().__init__()
        self.constants = nn.Parameter(torch.tensor([getattr(start, name) for name in NumberCurve.__slots__]))
        self.register_buffer("digits", torch.tensor(symbols.digits), persistent=False)
        self.register_buffer("signs", torch.tensor(symbols.signs), persistent=False)
        of_sign = [number for number, signs in enumerate(symbols.operations) for _ in signs]
        self.register_buffer("operations", torch.tensor(of_sign), persistent=False)

    def forward(self, events_S: Tensor, marks_N: Tensor) -> Tensor:
        """Log-odds (N, 1)."""
        lowest_N = torch.stack([part.min() for part in torch.split(events_S, marks_N.abs().tolist())])
        slope, offset, wordy_slope, wordy_offset = self.constants
        numeric = marks_N > 0
        odds_N = torch.where(numeric, slope * lowest_N + offset, wordy_slope * lowest_N + wordy_offset)
        return odds_N[:, None]

    def config(self) -> dict[str, dict[str, float]]:
        return {CONFIG_KEY: asdict(NumberCurve(*self.constants.tolist()))}

    def events(self, logits_SV: Tensor, before_S: Tensor, targets_S: Tensor) -> Tensor:
        """As `_events`, from whole logits."""
        logprobs_SV = logits_SV.log_softmax(-1)
        own_S = logprobs_SV.gather(-1, targets_S[:, None]).squeeze(-1)
        digit_S = logprobs_SV[:, self.digits].logsumexp(-1)
        before, now = torch.isin(before_S, self.digits), torch.isin(targets_S, self.digits)
        end_S = (-torch.expm1(digit_S.clamp(max=0.0))).clamp(min=END_FLOOR).log()
        end_S = torch.minimum(end_S, self._operation(logprobs_SV, targets_S))
        return torch.where(now & ~before, own_S - digit_S, torch.where(before & ~now, end_S, own_S))

    def _operation(self, logprobs_SV: Tensor, targets_S: Tensor) -> Tensor:
        """(S,) log-probability of the target's operation given that a sign follows; 0 if the target is not a sign."""
        is_sign_SK = targets_S[:, None] == self.signs
        signed_S = is_sign_SK.any(-1)
        operation_S = self.operations[is_sign_SK.int().argmax(-1)]
        signs_SK = logprobs_SV[:, self.signs]
        alike_SK = signs_SK.masked_fill(self.operations != operation_S[:, None], -torch.inf)
        return torch.where(signed_S, alike_SK.logsumexp(-1) - signs_SK.logsumexp(-1), torch.zeros_like(alike_SK[:, 0]))


def digit_tokens(tokenizer: StepTokenizer) -> tuple[int, ...]:
    """Ids of the ten digits. Raises CheckpointError if a token holds a digit and something else."""
    vocabulary = tokenizer.inner.get_vocab()
    wider = [token for token in vocabulary if len(token) > 1 and any(digit in token for digit in DIGITS)]
    single = [index for token, index in vocabulary.items() if token in DIGITS]
    if wider or len(single) != len(DIGITS):
        raise CheckpointError(
            f"the tokenizer does not write numbers digit by digit: {wider[:5] or 'a digit is missing'}",
            tokens=wider[:5],
        )
    return tuple(sorted(single))


def operation_tokens(tokenizer: StepTokenizer) -> tuple[tuple[int, ...], ...]:
    """For each operation, the tokens that are one of its signs, with a space before it or without."""

    def tokens(signs: str) -> tuple[int, ...]:
        written = (tokenizer.ids(space + sign, first=False) for sign in signs for space in ("", " "))
        return tuple(sorted({ids[0] for ids in written if len(ids) == 1}))

    return tuple(map(tokens, OPERATIONS))


def symbols_of(tokenizer: StepTokenizer) -> Symbols:
    return Symbols(digit_tokens(tokenizer), operation_tokens(tokenizer))


def build(context: LayoutContext) -> Parts:
    symbols = symbols_of(context.tokenizer)
    layout = PlainChat(context.tokenizer, frozenset(symbols.digits))
    head = TokenLogProbHead(reference=False, beside=symbols.beside)
    return Parts(layout, head, partial(read, NumberCurve.of(context.config), symbols))


def trained_reading(tokenizer: StepTokenizer, config: Mapping[str, object]) -> NumberReading:
    return NumberReading(symbols_of(tokenizer), NumberCurve.of(config))


FAMILY = Family(
    name="number_logprob",
    title="Language-model reading of numbers",
    source=("https://arxiv.org/abs/2412.01981",),
    licence="Apache-2.0",
    checkpoints=("embedded",),
    prompt="<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n{step 1}\n{step 2}\n",
    marker="none: every digit of a step and the end of every number are read",
    formula="sigmoid(a * min over the step's digits, ends of numbers and operations after them of log p + b); "
    "first digits given a digit, operations given a sign",
    build=build,
    training=Training("ForCausalLM", config={CONFIG_KEY: asdict(START)}, reading=trained_reading),
    evidence=Evidence(
        architectures=(".*ForCausalLM",),
        repositories=(r"^embedded$", r"stepscore-embedded", r"(^|[-_/])number_logprob"),
    ),
)
