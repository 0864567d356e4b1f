r"""What an answer means if its sign has two meanings: decided by the answers beside it, or left apart."""

from __future__ import annotations

import pytest

from stepscore.verify.answers import read_answer
from stepscore.verify.equality import group_answers, same_answer
from stepscore.verify.open import open_verifier
from stepscore.verify.verifier import Truth

SAME = [
    ("£5", "5 pounds"),
    ("£5", "5 pound sterling"),
    ("5 pounds", "5 lb"),
    ("5 pounds 50 pence", "£5.50"),
    ("£2.50", "250 pence"),
    ("(£3, £4)", "(3 pounds, 4 pounds)"),
    ("$1.5M", "1500000"),
    ("$2k", "$2,000"),
    ("$5m", "5 million dollars"),
    ("€3bn", "€3,000,000,000"),
    ("US$1.5M", "$1.5 million"),
    ("1:30:00", "1 hour 30 minutes"),
    ("2:30:00", "2.5 hours"),
    ("0:45:00", "45 minutes"),
    ("0:00:30", "30 s"),
    ("1:00:01", "3601 seconds"),
    ("11:59 PM on Monday", "Monday, 11:59 PM"),
    ("Monday at noon", "12:00 PM Monday"),
    ("Tue 5 pm", "5:00 PM on Tuesday"),
    ("17:30 on Friday", "Friday at 5:30 p.m."),
    ("Sunday 9:05 am", "9:05 AM, Sunday"),
    ("1,5 liters", "1.5 liters"),
    ("2,25 hours", "2.25 hours"),
    ("0,5 litre", "1/2 l"),
    ("12,5 kg", "12.5 kg"),
    ("1,500 liters", "1500 liters"),
    (r"\overline{AB}", "AB"),
    (r"\overline{PQ}", r"\bar{PQ}"),
    ("101_{10}", "101"),
    ("(101)_2", "101 base 2"),
    ("0101_2", "101_2"),
    ("-221_3", "-221 base 3"),
    ("1f_{16}", "1F base 16"),
    (r"\sin^2x+\cos^2x", "1"),
    (r"\sin^2 x+\cos^2 x - 1", "0"),
    (r"\tan x \cdot \cot x", "1"),
    (r"\sec^2 \theta - \tan^2 \theta", "1"),
    (r"(x+1)^2 - x^2 - 2x", "1"),
    (r"\sin x \cdot \cos x", r"\cos x \sin x"),
    (r"\sin x \cdot 2", r"2 \sin x"),
    (r"\ln x \cdot \ln x", r"\ln^2 x"),
]
APART = [
    ("5 lb", "£5"),
    ("5 pounds", "£6"),
    ("5 pounds 4 ounces", "£5.25"),
    ("5 pounds", "5 kg"),
    ("5 pounds", "$5"),
    ("1.5M", "1500000"),
    ("2k", "2000"),
    ("$5M", "$5"),
    ("$5k", "$5,000,000"),
    ("5 m", "5000000"),
    ("1:30", "1 hour 30 minutes"),
    ("1:30:00 PM", "1.5 hours"),
    ("1:30:00", "1:30:00 PM on Monday"),
    ("1:30:01", "1 hour 30 minutes"),
    ("11:59 PM on Monday", "11:59 PM on Tuesday"),
    ("11:59 PM on Monday", "11:59 AM on Monday"),
    ("11:59 PM on Monday", "Monday"),
    ("1,5 liters", "15 liters"),
    ("1,5", "1.5"),
    ("1,5 apples", "1.5 apples"),
    (r"\overline{AB}", r"\overline{AC}"),
    (r"\overline{z}", "z"),
    (r"\overline{ABC}", "AB"),
    (r"\overline{3}", "3"),
    ("101_2", "101"),
    ("101_2", "5"),
    ("-221_3", "-221"),
    ("-221_3", "221_3"),
    ("100100_b", "100100"),
    (r"\sin^2 x + \cos^2 y", "1"),
    (r"\lfloor x/5 \rfloor^2", "0"),
    (r"\frac{|x|}{x}", "1"),
    (r"10^{-60} x", "0"),
    (r"\sin x \cdot 2", r"\sin 2x"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_means_the_same_beside_the_other_is_equal(one: str, other: str) -> None:
    assert same_answer(one, other)
    assert same_answer(other, one)


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_may_mean_something_else_is_not_equal(one: str, other: str) -> None:
    assert not same_answer(one, other)
    assert not same_answer(other, one)


@pytest.mark.parametrize(
    ("answers", "groups"),
    [
        (["£5", "5 pounds", "5"], [[0, 1, 2]]),
        (["5 pounds", "5 lb", "5"], [[0, 1, 2]]),
        (["£5", "5 pounds", "5 lb", "5"], [[0], [1, 2], [3]]),
        (["5 pounds", "£5", "80 oz"], [[0, 2], [1]]),
        (["1:30:00", "90 minutes", "1:30:00 PM"], [[0, 2], [1]]),
    ],
)
def test_two_meanings_in_one_vote_are_decided_by_the_unambiguous_ones(
    answers: list[str], groups: list[list[int]]
) -> None:
    assert group_answers(answers) == groups


@pytest.mark.parametrize(
    ("answer", "truth", "outcome"),
    [
        ("-221", "-221_3", "wrong"),
        ("-221_3", "-221_3", "right"),
        ("100100_b", "100100", "unreadable"),
        ("101", "101_{10}", "right"),
        ("5 pounds", "£5", "right"),
        ("1 hour 30 minutes", "1:30:00", "right"),
        ("$1.5M", "1500000", "right"),
        ("1.5M", "1500000", "wrong"),
        (r"\sin^2 x + \cos^2 x", "1", "right"),
    ],
)
def test_the_verifier_holds_to_the_same_meanings(answer: str, truth: str, outcome: str) -> None:
    assert open_verifier("math").verify([f"The answer is ${answer}$."], Truth(answer=truth))[0].outcome == outcome


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"First \boxed{5}. So the answer is 6.", "6"),
        (r"We get \boxed{3}. Then the final answer is 7.", "7"),
        (r"The total is $\boxed{120}$ cm. Half of it is 60. The final answer is therefore 60 cm.", "60 cm"),
        (r"Step 1: \boxed{A}. Therefore the answer is **B**.", "B"),
        ("\\boxed{3}\n\nFinal Answer:\n\n\\[ 4 \\]", "4"),
        (r"\boxed{4}. Wait, no. The answer is I think 5.", "5"),
        (r"Answer: 5. \boxed{6}", "6"),
        ("\\boxed{5}\n\nNote that the answer is obtained by adding 2 and 3.", "5"),
        ("\\boxed{3}\n\nThe answer is the number of ways to choose 2 of 5.", "3"),
        (r"\boxed{5}. The answer is correct.", "5"),
        (r"\boxed{5}. The answer is not 6.", "5"),
        (r"\boxed{3}. The answer is in the form a/b.", "3"),
        (r"The final answer is $\boxed{5}$. I hope it is correct.", "5"),
    ],
)
def test_a_value_that_is_stated_after_the_last_box_is_the_answer(text: str, answer: str) -> None:
    found = read_answer(text)
    assert found is not None
    assert found.text == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>I think 14</answer>", "14"),
        ("<answer>I believe it's 14 apples</answer>", "14 apples"),
        ("<answer>It is 14.</answer>", "14"),
        ("<answer>We get 14</answer>", "14"),
        ("<answer>Maybe 14</answer>", "14"),
        ("<answer>I think that the answer is 14</answer>", "14"),
        ("<answer>I think 14", None),
        ("The answer is 14.\n<answer>I think", None),
        ("The answer is 11:59 PM on Monday.", "11:59 PM on Monday"),
        ("He arrives at 11:59 PM on Monday.", "11:59 PM on Monday"),
        ("So we need 1,5 liters of water.", "1,5 liters"),
        ("The answer cannot be given without approximating the square root of 5.", "5"),
        ("The answer is much more than 15.", "much more than 15"),
        ("The answer is some even multiple of 22.", "some even multiple of 22"),
    ],
)
def test_words_of_opinion_and_of_description_are_not_taken_for_the_value(text: str, answer: str | None) -> None:
    found = read_answer(text)
    assert (found.text if found else None) == answer
