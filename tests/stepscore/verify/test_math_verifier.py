"""The math verifier: equal to the truth by form, unit and algebra; what cannot be told is unreadable, never wrong."""

from __future__ import annotations

import pytest

from stepscore.errors import InvalidInput
from stepscore.verify.math_verifier import MathVerifier
from stepscore.verify.open import open_verifier
from stepscore.verify.verifier import AnswerOutcome, Truth, Verifier


@pytest.fixture(scope="module")
def math() -> Verifier:
    return open_verifier("math")


@pytest.mark.parametrize(
    ("found", "truth", "outcome"),
    [
        ("$5", "5 dollars", "right"),
        ("5 km", "5000 m", "right"),
        ("5 km", "500 m", "wrong"),
        ("90 minutes", "1.5 hours", "right"),
        (r"\$0.50", "50 cents", "right"),
        ("5 apples", "5 pears", "wrong"),
        (r"5\text{ cm}^2", "5", "right"),
        (r"2\sqrt{3}\text{ cm}", r"\sqrt{12}", "right"),
        ("1.5e3", "1500", "right"),
        ("50%", "0.5", "right"),
        ("50", r"50\%", "right"),
        ("5", "50%", "wrong"),
        ("3 1/2", "3.5", "right"),
        (r"3\frac{1}{2}", r"\frac{7}{2}", "right"),
        ("31/2", "3.5", "wrong"),
        (r"x \le 3", r"(-\infty, 3]", "right"),
        (r"x < 3", r"(-\infty, 3]", "wrong"),
        (r"[0,1)\cup(2,3]", r"(2,3]\cup[0,1)", "right"),
        (r"\{1,2\}", "2, 1", "right"),
        ("0.333", "1/3", "wrong"),
        ("2^{10}", "1024", "right"),
        ("Monday", "tuesday", "wrong"),
        ("9^{9^{9^9}}", "9^{9^9}", "unreadable"),
        (r"\frac{}{", "5", "unreadable"),
        ("x" * 300 + "+1", "5", "unreadable"),
        ("1", "2x+y=1", "wrong"),
        ("3", "x + y = 3", "wrong"),
        ("3", "a - b = 3", "wrong"),
        ("x + y = 3", "3", "right"),
        ("3", "f(2) = 3", "right"),
        ("25", "x^2+y^2=25", "wrong"),
        ("0", "a+3z=0", "wrong"),
        ("1,3", "(3,1)", "wrong"),
        (r"\{1,3\}", "(3,1)", "wrong"),
        ("(1,3)", "(3,1)", "wrong"),
        ("3, 1", "(3,1)", "right"),
        ("11111111100", r"11,\! 111,\! 111,\! 100", "right"),
        ("20 dollars", r"20\%", "wrong"),
        ("20 dollars", "20%", "wrong"),
        ("20 apples", "20%", "wrong"),
        ("3x", "3", "wrong"),
        ("4i", "4", "wrong"),
        ("12pi", "12", "wrong"),
        ("2e", "2", "wrong"),
        ("2 squared", "2", "wrong"),
        ("3 less than x", "3", "wrong"),
        (r"60 \text{ km/h}", "60", "right"),
        ("£10", "10", "right"),
        ("2", r"\frac{1}{2}", "wrong"),
        ("2", "3x+2", "wrong"),
        ("4", "(3, 4)", "wrong"),
        ("5", "[2, 5)", "wrong"),
        ("12", r"12\pi", "wrong"),
        ("5", "10^5", "wrong"),
        ("2", "3:2", "wrong"),
        ("30", "5 hours 30 minutes", "wrong"),
        ("5.5 hours", "5 hours 30 minutes", "right"),
        ("1, -cos³β", "1", "wrong"),
        (r"\textbf{(B)}\ 12", "12", "right"),
        (r"\textbf{(B)}\ 12", "B", "right"),
    ],
)
def test_an_answer_against_the_truth(math: Verifier, found: str, truth: str, outcome: AnswerOutcome) -> None:
    verified = math.verify([rf"So \boxed{{{found}}}" if r"{}" not in found else f"#### {found}"], Truth(truth))
    assert [one.outcome for one in verified] == [outcome], verified


def test_each_text_gets_its_own_result_in_order(math: Verifier) -> None:
    verified = math.verify(["#### 4", "no number", "A: 5", "#### 4.0"], Truth("4"))
    assert [one.outcome for one in verified] == ["right", "unreadable", "wrong", "right"]
    assert [one.found for one in verified] == ["4", None, "5", "4.0"]
    assert verified[2].reason == "5 is not 4"


def test_a_truth_without_an_answer_is_refused() -> None:
    with pytest.raises(InvalidInput, match="answer"):
        MathVerifier().verify(["#### 4"], Truth(tests="assert True"))
