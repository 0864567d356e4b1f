"""What of a number is read: on distributions in which everything is certain but one thing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import tokenizers_for_tests as tokenizers
from family_case import all_cases
from stepscore.config import EngineOptions
from stepscore.families.number_logprob import START, NumberReading, PlainChat, Symbols, read, symbols_of
from stepscore.scoring.open import open_scorer
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import EncodedSolution, Reading, Solution

LOGIT = 40.0


@dataclass(frozen=True)
class Doubt:
    """A step, one of its tokens and what is likelier in its place, by so many nats."""

    step: str
    written: str
    likelier: str
    nats: float = 4.0


@pytest.fixture(scope="module")
def tokenizer() -> StepTokenizer:
    return StepTokenizer(tokenizers.qwen(), ())


@pytest.fixture(scope="module")
def symbols(tokenizer: StepTokenizer) -> Symbols:
    return symbols_of(tokenizer)


def token(tokenizer: StepTokenizer, text: str) -> int:
    [found] = tokenizer.ids(text, first=False)
    return found


def logits_of(tokenizer: StepTokenizer, encoded: EncodedSolution, doubt: Doubt) -> NDArray[np.float32]:
    """(S, V), at the reads."""
    [sequence] = encoded.sequences
    whole = np.zeros((len(sequence.ids), len(tokenizer.inner)), dtype=np.float32)
    whole[np.arange(len(sequence.ids) - 1), sequence.ids[1:]] = LOGIT
    place = len(sequence.ids) - 1 - sequence.ids[::-1].index(token(tokenizer, doubt.written))
    whole[place - 1, token(tokenizer, doubt.likelier)] = LOGIT + doubt.nats
    return whole[list(sequence.reads)]


def lowest(tokenizer: StepTokenizer, symbols: Symbols, doubt: Doubt) -> float:
    """As it is served; what is trained must give the same."""
    encoded = PlainChat(tokenizer, symbols).encode(Solution("How many?", (doubt.step,)))
    [sequence] = encoded.sequences
    logits_SV = torch.from_numpy(logits_of(tokenizer, encoded, doubt))
    logprobs = logits_SV.log_softmax(-1).numpy()
    own = np.take_along_axis(logprobs, np.array(sequence.targets)[:, None], axis=1)
    reading = read(START, symbols, [np.concatenate([own, logprobs[:, symbols.beside]], axis=1)], encoded)
    marks = torch.tensor(encoded.marks)
    before = torch.tensor([sequence.ids[place] for place in sequence.reads])
    layer = NumberReading(symbols, START)
    events = layer.events(logits_SV, before, torch.tensor(sequence.targets), marks.repeat_interleave(marks.abs()))
    assert layer(events, marks).item() == pytest.approx(reading.logits[0][0], abs=1e-4)
    return reading.extras["lowest_logprob"][0]


@pytest.mark.parametrize(
    "doubt",
    [
        Doubt("So x = -5.", " -", " "),
        Doubt("So x = 5.", " ", " -"),
        Doubt("x=5.", "5", "-"),
        Doubt("There is -5 left.", " -", " "),
        Doubt("It is $5.", " $", " -"),
        Doubt("First 1.5 h - 0.5 h.", " -", " +"),
        Doubt("8 h * 3", " *", "/"),
        Doubt("(8 + 2) / 3", "/", "x"),
    ],
    ids=lambda doubt: doubt.step,
)
def test_another_sign_that_is_likelier_is_read(tokenizer: StepTokenizer, symbols: Symbols, doubt: Doubt) -> None:
    assert lowest(tokenizer, symbols, doubt) == pytest.approx(-doubt.nats, abs=0.1)


@pytest.mark.parametrize(
    "doubt",
    [
        Doubt("So x = -5.", " -", " ", nats=-1.0),
        Doubt("So x = 5.", " ", " -", nats=-1.0),
        Doubt("First 1.5 h - 0.5 h.", " -", " +", nats=-1.0),
        Doubt("8 h * 3", " *", "x"),
        Doubt("8 h * 3", " *", " "),
        Doubt("- 5 pens", "-", "+"),
        Doubt("x - y = 5", " -", " +"),
        Doubt("3 pens - all of them", " -", " +"),
        Doubt("4 is even", " is", " -"),
        Doubt("He has 12,000 left", ",", "0"),
        Doubt("1,250,000", ",", "0"),
    ],
    ids=lambda doubt: f"{doubt.step} {doubt.likelier} {doubt.nats}",
)
def test_a_sign_that_is_likeliest_or_belongs_to_no_number_costs_nothing(
    tokenizer: StepTokenizer, symbols: Symbols, doubt: Doubt
) -> None:
    assert lowest(tokenizer, symbols, doubt) == pytest.approx(0.0, abs=1e-3)


def test_an_operation_right_after_a_number_costs_what_it_did(tokenizer: StepTokenizer, symbols: Symbols) -> None:
    """Its log-probability, also while it is the likeliest."""
    assert lowest(tokenizer, symbols, Doubt("3 + 4", " +", " -", nats=0.0)) == pytest.approx(np.log(0.5), abs=1e-3)


def test_every_form_equals_the_reference(tmp_path: Path) -> None:
    [case] = [each for each in all_cases() if each.family == "number_logprob"]
    folder = case.make(tmp_path / "checkpoint")
    steps = ["It is 1.5 h - 0.5 h = 1 h.", "x = -5 and y = $5", "8 h * 3 is 24", "- 5: 7", "1,250,000 + 12,00 = 3"]
    options = EngineOptions(device="cpu", dtype="float32")
    [reading] = open_scorer(str(folder), family=case.family, options=options).score([Solution("How?", tuple(steps))])
    assert isinstance(reading, Reading)
    assert reading.rewards == pytest.approx(case.reference(folder, "How?", steps), abs=1e-5)


@pytest.mark.parametrize("step", ["He has 12,00 left", "He has 1,2", "It is 2020,100", "12, 3", "So 12,0000"])
def test_another_comma_is_the_end_of_its_number(tokenizer: StepTokenizer, symbols: Symbols, step: str) -> None:
    assert lowest(tokenizer, symbols, Doubt(step, ",", "0")) == pytest.approx(-4.0, abs=0.1)


@pytest.mark.parametrize(
    ("one", "other"),
    [("１２ × ４ ＝ ４８", "12 × 4 = 48"), (r"12 \times 4 = 48", "12 × 4 = 48"), ("12 X 4 – 3", "12 x 4 - 3")],
)
def test_spellings_of_a_calculation_are_one_sequence(
    tokenizer: StepTokenizer, symbols: Symbols, one: str, other: str
) -> None:
    layout = PlainChat(tokenizer, symbols)
    assert layout.encode(Solution(one, (one,))) == layout.encode(Solution(other, (other,)))
