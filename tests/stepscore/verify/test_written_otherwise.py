"""One value written in many ways, and values that only look alike."""

from __future__ import annotations

import pytest

from stepscore.verify.equality import group_answers, same_answer

ONE_VALUE = {
    "amounts": [
        ("1h30m", "1.5 hours"),
        ("1 hr 30 min", "90 minutes"),
        ("3'4\"", "40 inches"),
        ("6' 2''", "6 feet 2 inches"),
        ("3,456 dollars and 50 cents", "$3456.50"),
        ("USD 50", "$50"),
        ("US$5", "5 dollars"),
        ("Rs. 500", "500 rupees"),
        ("Rs 500", "500"),
        ("INR 500", "₹500"),
        ("EUR 12.50", "€12.50"),
        ("1 liter", "1 dm^3"),
        ("1 m^3", "1000 L"),
        ("5 ml", "5 cm^3"),
        ("2 L/h", "2000 mL/h"),
        ("25 ℃", "25°C"),
        (r"3\pi\text{ cm}^2", r"3\pi"),
        (r"\pi \text{ rad}", "π"),
        (r"2\pi \text{ meters}", r"2\pi"),
    ],
    "numbers": [
        ("1_000_000", "1000000"),
        (r"2,5 \times 10^3", "2500"),
        ("one hundred and five", "105"),
        ("two thousand three hundred", "2300"),
        ("twenty five", "25"),
        ("a dozen", "12"),
        ("a hundred", "100"),
        ("five million apples", "5000000 apples"),
        ("5 and a half", "5.5"),
        ("two and a half hours", "2.5 hours"),
        ("0.6\u0305", "2/3"),
        ("0.1\u03052\u0305", r"0.\overline{12}"),
        ("negative 5", "-5"),
        ("minus 3/4", "-0.75"),
        ("negative infinity", r"-\infty"),
        ("lg 100", r"\log_{10} 100"),
    ],
    "times": [
        ("noon", "12:00 PM"),
        ("midnight", "12:00 a.m."),
        ("2020-03-05", "March 5, 2020"),
        ("2020-03-05", "5 March 2020"),
    ],
    "ranges": [
        ("x > 3 and x < 5", "(3, 5)"),
        (r"x \ge 3 \text{ and } x < 5", "[3, 5)"),
        ("x < 5 and x ≥ 3", "3 ≤ x < 5"),
        ("x < 5 and x > -5", "(-5, 5)"),
        (r"x > \frac{1}{2} \land x \le 2", "(0.5, 2]"),
        ("x < 1 or x > 2", r"(-\infty, 1) \cup (2, \infty)"),
    ],
    "names": [
        (r"\frac{dy}{dx} = 2x", "2x"),
        ("∠ABC = 30°", r"30^\circ"),
        ("△ABC", r"\triangle ABC"),
        (r"\{\{1\}, \{2\}\}", r"\{\{2\}, \{1\}\}"),
    ],
}
ANOTHER_VALUE = [
    ("1h30m", "1h 30 meters"),
    ("3'4\"", "3.4 feet"),
    ("1 liter", "1 m^3"),
    ("1 liter", "1 dm^2"),
    ("25 ℃", "25 ℉"),
    (r"3\pi r^2", r"3\pi"),
    (r"2\pi h", r"2\pi"),
    ("one hundred and five", "100"),
    ("one hundred and five", "1005"),
    ("two and a half", "2"),
    ("5 and 6", "5.5"),
    ("5 and a third", "5.5"),
    ("1_000", "1_001"),
    ("0.6\u0305", "0.6"),
    ("noon", "midnight"),
    ("2020-03-05", "2020-05-03"),
    ("2020-03-05", "2012"),
    ("2020-3-5", "2020-03-05"),
    ("x > 3 and x < 5", "x > 3 or x < 5"),
    ("x > 3 and x < 5", "x > 3"),
    ("x > 3 and x > 5", "(3, 5)"),
    (r"\{\{1\}, \{2\}\}", r"\{1, 2\}"),
    ("a hundred", "a"),
    ("one two three", "123"),
    ("USD 50", "EUR 50"),
]


@pytest.mark.parametrize(("one", "other"), [pair for pairs in ONE_VALUE.values() for pair in pairs])
def test_one_value_is_one_group(one: str, other: str) -> None:
    assert group_answers([one, other]) == group_answers([other, one]) == [[0, 1]]


@pytest.mark.parametrize(("one", "other"), ANOTHER_VALUE)
def test_what_only_looks_alike_is_another_value(one: str, other: str) -> None:
    assert not same_answer(one, other)
    assert not same_answer(other, one)
