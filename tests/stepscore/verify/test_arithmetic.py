"""Calculations in steps: right ones, wrong ones, and all that only looks like one."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.verify.arithmetic import ArithmeticChecker, check_step
from stepscore.verify.checker import Verdict

GSM8K = Path(__file__).parents[4] / "shared" / "data" / "gsm8k" / "train.jsonl"


@pytest.mark.parametrize(
    ("step", "verdict"),
    [
        ("3 x 4 = 12", "sound"),
        ("She pays $5 * 2 = $10.", "sound"),
        ("1/2 * 8 = 4", "sound"),
        ("20% of 50 = 10", "sound"),
        ("20% of 50 = 12", "wrong"),
        ("1,000 + 2,500 = 3,500", "sound"),
        ("1,000 + 2,500 = 3,600", "wrong"),
        ("10 / 3 = 3.33", "sound"),
        ("20 / 3 = 6.66 and 20 / 3 = 6.67", "sound"),
        ("10 / 3 = 3.43", "wrong"),
        ("10/3 = 3.34", "wrong"),
        ("20 / 3 = 6.68", "wrong"),
        ("20 / 3 = 6.65", "wrong"),
        ("-10 / 3 + 0 = 3.34", "unknown"),
        ("2 / 3 = 0.6", "sound"),
        ("2 / 3 = 0.8", "wrong"),
        ("3+4=7=8", "wrong"),
        ("3 + 4 = 7 = 7", "sound"),
        ("2 * 3 = 6 = 5", "wrong"),
        ("10 / 3 = 3.333 = 3.33", "sound"),
        ("10 - 3 = 7 + 5 = 12", "wrong"),
        ("2 + 2 = 4 * 3 = 12", "wrong"),
        ("5 + 5 = 10 - 2 = 8 and 1 + 1 = 2", "wrong"),
        ("2 * 3 = 6 + 1 = 7 = 7", "wrong"),
        ("7 = 8 = 3 + 5", "wrong"),
        ("10 - 3 = 7 apples + 5 apples = 12 apples", "wrong"),
        ("10 - 3 = $7 + $5 = $12", "wrong"),
        ("7 minutes x 60 = 420 seconds + 23 seconds = 443 seconds", "wrong"),
        (r"\(10 - 3 = 7 + 5 = 12\)", "wrong"),
        ("10 - 3 = 7, and 7 + 5 = 12", "sound"),
        ("10 - 3 = 7. 7 + 5 = 12", "sound"),
        ("10 - 3 = 7 and then 7 + 5 = 12", "sound"),
        ("10 - 3 = 7\n- 5 * 2 = 10\n- 3 + 4 = 7", "sound"),
        ("10 - 3 = 7\n- 5 = 2", "wrong"),
        ("10 - 3 = 5 + 2 = 7", "sound"),
        ("10 - 3 = 7 + 5", "unknown"),
        ("10 - 3 = 7 - 5 of them are red", "unknown"),
        ("30 minutes * 3 = 1 hour + 30 minutes = 90 minutes", "unknown"),
        ("8 dimes * 2 quarters per dime = 16 quarters = 16 * $0.25 = $4", "sound"),
        ("the area is 15.5 = 0.03366 x 15.5 = 0.521 x 10-4 cm-1", "unknown"),
        (r"$(11)\ \#\ 5 = 10 + 5 + 1 = 16$", "unknown"),
        (r"\frac{1}{2} \times 8 = 4", "sound"),
        (r"\(2 \cdot 3 = 7\)", "wrong"),
        (r"$$3+4=8$$", "wrong"),
        ("**3 + 4 = 8**", "wrong"),
        (r"2^{10} = 1024 and 3² = 9", "sound"),
        ("16 - 3 - 4 = 9 eggs", "sound"),
        ("16 - 3 = 13 - 4 = 9", "wrong"),
        ("2 + 3 = 4 + 1 = 6", "wrong"),
        ("5 apples + 3 apples = 9 apples", "wrong"),
        ("12 dollars per hour * 3 hours = 36 dollars", "sound"),
        ("60 minutes x 2/3 = 40 minutes", "sound"),
        ("9 * 2 = $<<9*2=18>>18 every day", "sound"),
        ("3 1/2 + 1/2 = 4", "sound"),
        (r"3\frac{1}{2} + \frac{1}{2} = 4", "sound"),
        (r"f\left(\frac{1}{3}\right) = 4 \cdot 3 and 49 - 6 = 3ab", "unknown"),
        (r"\frac{2}{1} \cdot \ldots \cdot \frac{9}{8} = \frac{9}{1}", "unknown"),
        ("1/2 inch = 20 miles", "unknown"),
        ("17^5 = 32 r^5", "unknown"),
        ("5 * 2 = 11 a week", "wrong"),
        ("50 cents * 4 = $2", "sound"),
        ("5 / 20 * 100 = 25%", "sound"),
        ("(5 + 3 = 8)", "sound"),
        ("17 / 5 = 3 remainder 2", "unknown"),
        ("6 / 2(1 + 2) = 9", "unknown"),
        ("50 + 10% = 55", "unknown"),
        ("0.67 * 300 = 200", "unknown"),
        ("1 dollar + 2 dimes = 1.20", "unknown"),
        ("- 3 + 4 = 7", "unknown"),
        ("x + 3 = 5, so 2x = 10", "unknown"),
        ("sqrt(16) = 4 and 5! = 120", "unknown"),
        ("17*2 = 4 mod 5", "unknown"),
        ("5 more than 3 * 2 = 11", "unknown"),
        ("at 7:50 + 30 minutes = 8:20", "unknown"),
        ("5 / 0 = 1 and 9^99999 = 3", "unknown"),
        ("3 + 4 = 2 million", "unknown"),
        ("100 cents = 1 dollar", "unknown"),
        ("He is 7 years old.", "unknown"),
    ],
)
def test_a_step(step: str, verdict: Verdict) -> None:
    assert check_step(step).verdict == verdict, check_step(step).reason


def test_one_wrong_calculation_makes_the_step_wrong_and_is_named() -> None:
    checked = ArithmeticChecker().check("?", ["2 + 2 = 4, then 4 * 3 = 13.", "2 + 2 = 4"])
    assert [one.verdict for one in checked] == ["wrong", "sound"]
    assert checked[0].reason == "4 * 3 = 13 does not hold"


OPERANDS = st.integers(0, 9999)
SIGNS = st.sampled_from([("+", "+"), ("-", "−"), ("*", r"\times"), ("*", "x"), ("*", r"\cdot"), ("*", "×")])


@given(OPERANDS, SIGNS, OPERANDS, st.booleans())
def test_whole_numbers_in_every_spelling(left: int, sign: tuple[str, str], right: int, grouped: bool) -> None:
    calculated, written = sign
    result = {"+": left + right, "-": left - right, "*": left * right}[calculated]
    shown = [f"{number:,}" if grouped else str(number) for number in (left, right, result, result + 1)]
    assert check_step(f"So {shown[0]} {written} {shown[1]} = {shown[2]} in all.").verdict == "sound"
    assert check_step(f"So {shown[0]} {written} {shown[1]} = {shown[3]} in all.").verdict == "wrong"


@given(st.integers(1, 9999), st.integers(1, 9999), st.integers(0, 6))
def test_a_quotient_may_be_rounded_to_the_digits_shown(top: int, bottom: int, digits: int) -> None:
    value = Fraction(top, bottom)
    rounded = f"{float(round(value, digits)):.{digits}f}"
    assert check_step(f"{top} / {bottom} = {rounded}").verdict == "sound"
    off = f"{float(round(value, digits)) + 2 * 10**-digits:.{digits}f}"
    assert check_step(f"{top} / {bottom} = {off}").verdict == "wrong"


@given(st.text(alphabet="0123456789+-*/^=().,%$x \\{}of", max_size=60))
def test_no_text_makes_it_fail(text: str) -> None:
    check_step(text)


def test_long_and_deep_steps_take_little_time() -> None:
    started = time.monotonic()
    for unit in ("1+", "(", "1=", "\\frac{", "1 a ", "9^9^", "=", "1 1/2 "):
        check_step(unit * 20_000 + "1=1")
    assert time.monotonic() - started < 20


@pytest.mark.skipif(not GSM8K.exists(), reason="the GSM8K data is not beside the checkout")
def test_worked_solutions_raise_almost_no_alarm() -> None:
    with GSM8K.open() as file:
        solutions = [json.loads(line)["answer"].split("####")[0] for _, line in zip(range(1500), file, strict=False)]
    verdicts = [check_step(step).verdict for solution in solutions for step in solution.strip().splitlines()]
    assert verdicts.count("wrong") < 0.003 * len(verdicts)
    assert verdicts.count("sound") > 0.7 * len(verdicts)
