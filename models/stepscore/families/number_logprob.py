"""The language-model reading: how surprised a language model is by the numbers of a step.

The reading of the checkpoint that ships with the project. A policy fine-tuned on worked solutions knows what a sound
step would compute; if a step writes another number, the log-probability of that number falls. That needs no step
labels; a model that was trained on some through this very reading is read alike. The reward is a logistic of the lowest
log-probability among the events of the step's numbers:

- the first digit of a number, given that a digit follows, so that the choice of words costs nothing;
- every further digit of it;
- its end: that no digit follows (not below log 0.001); the comma of `12,000` is no end, and costs nothing;
- the operation right after it, given that one follows; its spacing and its sign (`x`, `*`, `×`) cost nothing;
- the operation after a unit (`1.5 h - 0.5 h`), and the sign of a number after `=`, `is` or a colon: both by their odds
  against all others, and they cost nothing while they are likelier.

Digits and signs of calculations are written in one spelling first (`stepscore.text.arithmetic`).

Its two constants are in the checkpoint's config.json under `number_logprob`; they are fitted on labelled steps, or
trained with the weights. A step without a digit is read by its least likely token, with constants of its own.

Source: the project's own; the idea is the likelihood-based reading of a policy, as in implicit PRMs
(arXiv 2412.01981) without a reference model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
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
from stepscore.text.arithmetic import plain_arithmetic
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Reading, Solution, Values

CONFIG_KEY = "number_logprob"
DIGITS = "0123456789"
OPERATIONS = ("+", "-−", "*x×", "/÷")
"""The signs of each operation."""

RESULTS = ("=", "==", "≈", "is", ":")
"""After these a number is signed: a minus is its own, and not an operation."""

NEGATIVE = ("-", "−", "-$")
UNSIGNED = (" ", "$", " $")
"""How numbers begin there, besides by a digit."""

SEPARATORS = (",", "_", "'")

NEAR = 4
"""An operation has a digit among so many tokens before it."""

END_FLOOR = 1e-3
"""Less probability than this is left to the end of a number only by rounding."""

NO_SIGN = -1
NOTHING = -1e4
"""A log-probability that adds nothing."""


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


@dataclass(frozen=True)
class Symbols:
    """Token ids of what is read of numbers.

    digits: the ten. operations: the signs of each. results: after these a number is signed. negative, unsigned: how it
    begins there besides by a digit. separators: what groups of three digits have between them.
    """

    digits: frozenset[int]
    operations: tuple[tuple[int, ...], ...]
    results: frozenset[int]
    negative: frozenset[int]
    unsigned: frozenset[int]
    separators: frozenset[int]

    @cached_property
    def operation_of(self) -> dict[int, int]:
        """The number of the operation of each sign, ascending."""
        return {sign: number for number, signs in enumerate(self.operations) for sign in signs}

    @cached_property
    def before_numbers(self) -> frozenset[int]:
        return self.negative | self.unsigned | frozenset(self.operation_of)

    @cached_property
    def beside(self) -> tuple[int, ...]:
        """Digits, signs in the order of `operation_of`, negative beginnings, unsigned ones."""
        return (*sorted(self.digits), *self.operation_of, *sorted(self.negative), *sorted(self.unsigned))


@dataclass(frozen=True, slots=True)
class PlainChat:
    """One question and its answer, a step a line.

    Of a step with digits the places before each digit, after the last digit of each number, before an operation after
    a unit and before a result's sign are read; of another step those before all of its tokens.
    marks: for each step, the number of its reads, negative if it has no digit.
    """

    tokenizer: StepTokenizer
    symbols: Symbols

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
        """Positions in or right before the step's numbers and signs, or before all of its tokens if it has no digit."""
        every, digits, signs = range(start, end), self.symbols.digits, self.symbols.before_numbers
        numbers = [
            place
            for place in every
            if (ids[place] in digits and not self._parts_thousands(ids, end, place))
            or ids[place + 1] in digits
            or (ids[place + 1] in signs and self._signs_a_number(ids, start, end, place))
        ]
        return (numbers, False) if numbers else (list(every), True)

    def _parts_thousands(self, ids: tuple[int, ...], end: int, place: int) -> bool:
        """Whether a separator follows between up to three digits, which end at a place, and a group of three."""
        if ids[place + 1] not in self.symbols.separators:
            return False
        around = (*ids[place - 3 : place + 1], *ids[place + 2 : min(place + 6, end + 1)])
        digit = [each in self.symbols.digits for each in around]
        return not all(digit[:4]) and all(digit[4:7]) and len(digit) > 6 and not any(digit[7:])

    def _signs_a_number(self, ids: tuple[int, ...], start: int, end: int, place: int) -> bool:
        """Whether an operation after a unit, or a result with or without a minus, begins right after a place."""
        symbols = self.symbols
        if symbols.digits.isdisjoint(ids[place + 2 : min(place + 4, end + 1)]):
            return False
        if ids[place] in symbols.results:
            return ids[place + 1] in symbols.unsigned or ids[place + 1] in symbols.negative
        near = ids[max(start + 1, place - NEAR + 1) : place]
        return ids[place + 1] in symbols.operation_of and not symbols.digits.isdisjoint(near)


def write(tokenizer: StepTokenizer, solution: Solution) -> Encoded:
    """The tokens of a solution; the reads are the last token before the answer, then the last one of each step."""
    builder = SequenceBuilder(tokenizer).template("<|im_start|>user\n").text(plain_arithmetic(solution.problem))
    builder.template("<|im_end|>\n<|im_start|>assistant\n").read()
    for step in solution.steps:
        builder.text(plain_arithmetic(step)).text("\n").read()
    return builder.build()


def read(calibration: NumberCurve, symbols: Symbols, values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    surprises = _events(join_rows(values).astype(np.float64), encoded, symbols)
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


def _events(logprobs: NDArray[np.float64], encoded: EncodedSolution, symbols: Symbols) -> NDArray[np.float64]:
    """(S,) log-probabilities of what happens at the reads.

    logprobs: (S, 1 + beside), the target's, then those of `Symbols.beside`.
    """
    [sequence] = encoded.sequences
    marks = np.array(encoded.marks)
    numeric = np.repeat(marks > 0, np.abs(marks))
    sizes = (len(symbols.digits), len(symbols.operation_of), len(symbols.negative))
    own, digits, signs, negative, unsigned = np.split(logprobs, 1 + np.cumsum((0, *sizes)), axis=1)
    own, digit = own[:, 0], np.logaddexp.reduce(digits, axis=1)
    before = _among([sequence.ids[read] for read in sequence.reads], symbols.digits)
    now = _among(sequence.targets, symbols.digits)
    result = _among([sequence.ids[read] for read in sequence.reads], symbols.results)
    alike, other = _operations(signs, sequence.targets, symbols)
    end = np.log(np.maximum(-np.expm1(np.minimum(digit, 0.0)), END_FLOOR))
    end = np.minimum(end, alike - np.logaddexp(alike, other))
    minus = np.logaddexp.reduce(negative, axis=1) - np.logaddexp(digit, np.logaddexp.reduce(unsigned, axis=1))
    signed = np.where(_among(sequence.targets, symbols.negative), minus, -minus)
    odds = np.minimum(np.where(result, signed, alike - other), 0.0)
    first = np.minimum(own - digit, np.where(result, odds, 0.0))
    return np.select([numeric & now & ~before, numeric & before & ~now, numeric & ~now], [first, end, odds], own)


def _among(ids: Sequence[int], known: frozenset[int]) -> NDArray[np.bool_]:
    return np.array([each in known for each in ids])


def _operations(
    signs: NDArray[np.float64], targets: Sequence[int], symbols: Symbols
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(S,) log-probabilities of the target's operation and of all others; 0 and nothing if the target is not a sign."""
    operations = np.array(list(symbols.operation_of.values()))
    own = np.array([symbols.operation_of.get(target, NO_SIGN) for target in targets])
    alike = np.logaddexp.reduce(np.where(operations == own[:, None], signs, -np.inf), axis=1)
    other = np.logaddexp.reduce(np.where(operations != own[:, None], signs, -np.inf), axis=1)
    return np.where(own == NO_SIGN, 0.0, alike), np.where(own == NO_SIGN, -np.inf, other)


class NumberReading(TrainedReading):
    """`read` in torch, up to the log-odds: what is served is what is trained. constants: a curve's four, trained.

    Shape suffixes: S read positions, N steps, V vocabulary, K signs.
    """

    digits: Tensor
    signs: Tensor
    operations: Tensor
    results: Tensor
    negative: Tensor
    positive: Tensor

    def __init__(self, symbols: Symbols, start: NumberCurve) -> None:
        super().__init__()
        self.constants = nn.Parameter(torch.tensor([getattr(start, name) for name in NumberCurve.__slots__]))
        ids = {
            "digits": sorted(symbols.digits),
            "signs": list(symbols.operation_of),
            "operations": list(symbols.operation_of.values()),
            "results": sorted(symbols.results),
            "negative": sorted(symbols.negative),
            "positive": sorted(symbols.unsigned | symbols.digits),
        }
        for name, each in ids.items():
            self.register_buffer(name, torch.tensor(each, dtype=torch.long), persistent=False)

    def forward(self, events_S: Tensor, marks_N: Tensor) -> Tensor:
        """Log-odds (N, 1)."""
        lowest_N = torch.stack([part.min() for part in torch.split(events_S, marks_N.abs().tolist())])
        slope, offset, wordy_slope, wordy_offset = self.constants
        numeric = marks_N > 0
        odds_N = torch.where(numeric, slope * lowest_N + offset, wordy_slope * lowest_N + wordy_offset)
        return odds_N[:, None]

    def config(self) -> dict[str, dict[str, float]]:
        return {CONFIG_KEY: asdict(NumberCurve(*self.constants.tolist()))}

    def events(self, logits_SV: Tensor, before_S: Tensor, targets_S: Tensor, marks_S: Tensor) -> Tensor:
        """As `_events`, from whole logits."""
        logprobs_SV = logits_SV.log_softmax(-1)
        own_S = logprobs_SV.gather(-1, targets_S[:, None]).squeeze(-1)
        digit_S = logprobs_SV[:, self.digits].logsumexp(-1)
        before, now = torch.isin(before_S, self.digits), torch.isin(targets_S, self.digits)
        alike_S, other_S = self._operations(logprobs_SV, targets_S)
        end_S = (-torch.expm1(digit_S.clamp(max=0.0))).clamp(min=END_FLOOR).log()
        end_S = torch.minimum(end_S, alike_S - torch.logaddexp(alike_S, other_S))
        result = torch.isin(before_S, self.results)
        odds_S = torch.where(result, self._signed(logprobs_SV, targets_S), alike_S - other_S).clamp(max=0.0)
        first_S = torch.minimum(own_S - digit_S, torch.where(result, odds_S, 0.0))
        event_S = torch.where(before, torch.where(now, own_S, end_S), torch.where(now, first_S, odds_S))
        return torch.where(marks_S > 0, event_S, own_S)

    def _signed(self, logprobs_SV: Tensor, targets_S: Tensor) -> Tensor:
        """(S,) log-odds of the sign that the number after a result's sign has."""
        minus_S = logprobs_SV[:, self.negative].logsumexp(-1) - logprobs_SV[:, self.positive].logsumexp(-1)
        return torch.where(torch.isin(targets_S, self.negative), minus_S, -minus_S)

    def _operations(self, logprobs_SV: Tensor, targets_S: Tensor) -> tuple[Tensor, Tensor]:
        """(S,) twice, as in `_operations`; a very small number instead of nothing, which has no gradient."""
        is_sign_SK = targets_S[:, None] == self.signs
        signed_S = is_sign_SK.any(-1)
        alike_SK = self.operations == self.operations[is_sign_SK.int().argmax(-1)][:, None]
        signs_SK = logprobs_SV[:, self.signs]
        alike_S = signs_SK.masked_fill(~alike_SK, NOTHING).logsumexp(-1)
        other_S = signs_SK.masked_fill(alike_SK, NOTHING).logsumexp(-1)
        return torch.where(signed_S, alike_S, 0.0), torch.where(signed_S, other_S, NOTHING)


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

    return tuple(tuple(sorted(_tokens(tokenizer, _spaced(signs)))) for signs in OPERATIONS)


def _spaced(texts: Iterable[str]) -> list[str]:
    return [space + text for text in texts for space in ("", " ")]


def _tokens(tokenizer: StepTokenizer, texts: Iterable[str]) -> frozenset[int]:
    """The texts that are one token."""
    written = (tokenizer.ids(text, first=False) for text in texts)
    return frozenset(ids[0] for ids in written if len(ids) == 1)


def symbols_of(tokenizer: StepTokenizer) -> Symbols:
    """Raises CheckpointError if a token holds a digit and something else."""
    return Symbols(
        frozenset(digit_tokens(tokenizer)),
        operation_tokens(tokenizer),
        _tokens(tokenizer, _spaced(RESULTS)),
        _tokens(tokenizer, _spaced(NEGATIVE)),
        _tokens(tokenizer, UNSIGNED),
        _tokens(tokenizer, SEPARATORS),
    )


def build(context: LayoutContext) -> Parts:
    symbols = symbols_of(context.tokenizer)
    layout = PlainChat(context.tokenizer, symbols)
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
    marker="none: every digit of a step, the end of every number, and signs are read",
    formula="sigmoid(a * min over the step's digits, ends of numbers, operations and signs of log p + b); "
    "first digits given a digit, operations given a sign",
    build=build,
    training=Training("ForCausalLM", config={CONFIG_KEY: asdict(START)}, reading=trained_reading),
    evidence=Evidence(
        architectures=(".*ForCausalLM",),
        repositories=(r"^embedded$", r"stepscore-embedded", r"(^|[-_/])number_logprob"),
    ),
)
