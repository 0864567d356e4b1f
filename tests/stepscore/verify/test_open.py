"""Verifiers by name: numeric and exact ones at work, and names and options that do not exist."""

from __future__ import annotations

import pytest

from stepscore.errors import InvalidInput, InvalidOption
from stepscore.verify.open import open_verifier
from stepscore.verify.verifier import AnswerOutcome, Truth


@pytest.mark.parametrize(
    ("name", "found", "truth", "outcome"),
    [
        ("numeric", "1.0000000001", "1", "right"),
        ("numeric", "1.001", "1", "wrong"),
        ("numeric:0.01", "1.001", "1", "right"),
        ("numeric", "5 km", "5 m", "right"),
        ("numeric", r"\boxed{25\%}", "1/4", "right"),
        ("numeric", r"\boxed{0.33333333}", "1/3", "right"),
        ("numeric", r"\boxed{1e400}", "1", "unreadable"),
        ("numeric", r"\boxed{x}", "1", "unreadable"),
        ("numeric", "no number", "1", "unreadable"),
        ("exact", r"\boxed{\text{Monday}}", "monday", "right"),
        ("exact", r"\boxed{x+1}", "1+x", "wrong"),
        ("exact", "none", "1", "unreadable"),
    ],
)
def test_an_answer_against_the_truth(name: str, found: str, truth: str, outcome: AnswerOutcome) -> None:
    assert [one.outcome for one in open_verifier(name).verify([found], Truth(truth))] == [outcome]


def test_a_numeric_truth_must_be_a_number() -> None:
    with pytest.raises(InvalidInput, match="is not a number"):
        open_verifier("numeric").verify(["1"], Truth("x"))


@pytest.mark.parametrize("name", ["maths", "", "math:weak", "numeric:much", "numeric:-1", "code:strong"])
def test_a_wrong_name_or_option_is_refused(name: str) -> None:
    with pytest.raises((InvalidOption, InvalidInput), match=r"choose one of|no option|tolerance"):
        open_verifier(name)
