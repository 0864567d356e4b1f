"""Calculations are read in one spelling, and text without special signs is kept."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.text.arithmetic import plain_arithmetic

GSM8K = Path(__file__).parents[3].parent / "shared" / "data" / "gsm8k" / "train.jsonl"

SPELLINGS = {
    "１２ × ４ ＝ ４８": "12 × 4 = 48",
    "٢٤ + ٣٫٥": "24 + 3.5",
    "𝟐𝟒 ÷ 𝟐": "24 ÷ 2",
    "१२ + ४": "12 + 4",
    r"\(12 \times 4\)": r"\(12 × 4\)",
    r"12\cdot4": "12×4",
    r"12 \div 4": "12 ÷ 4",
    "12 · 4": "12 × 4",
    "0,15 · 80 €": "0,15 × 80 €",
    "2 kg · 3": "2 kg × 3",
    "12 ⋅ $4": "12 × $4",
    "12 X 4": "12 x 4",
    "12 – 4": "12 - 4",
    "12 ➗ 4 ➕ 1": "12 / 4 + 1",
    "= –5": "= -5",
    "12{,}000": "12,000",
    "12\u00a0000": "12 000",
}


@pytest.mark.parametrize("written", SPELLINGS)
def test_other_digits_and_signs_are_written_as_the_plain_ones(written: str) -> None:
    assert plain_arithmetic(written) == SPELLINGS[written]


@pytest.mark.parametrize(
    "text",
    [
        "pages 3–5",
        "• 5 apples",
        "Route X",
        "X = 5",
        "May 5 – the day after",
        r"1 + \cdots + 9",
        r"a \times b",
        "Jean·Paul",
        "½ of x²",
        "答案是 3。",
        "五月，她卖了 24 个。",
    ],
)
def test_what_only_looks_alike_is_kept(text: str) -> None:
    assert plain_arithmetic(text) == text


@given(st.text(string.printable.replace("X", "").replace("\\", "").replace("{", "")))
def test_plain_text_is_kept(text: str) -> None:
    assert plain_arithmetic(text) == text


@given(st.text())
def test_a_second_time_changes_nothing(text: str) -> None:
    once = plain_arithmetic(text)
    assert plain_arithmetic(once) == once


@pytest.mark.skipif(not GSM8K.is_file(), reason=f"{GSM8K} is not there")
def test_worked_solutions_are_kept_but_for_their_rare_signs() -> None:
    texts = [json.loads(line)["answer"] for line in GSM8K.read_text(encoding="utf-8").splitlines()]
    changed = [text for text in texts if plain_arithmetic(text) != text]
    assert len(changed) < len(texts) / 50, changed[:5]
