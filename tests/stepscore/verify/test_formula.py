"""One rule for two answers in a vote and for an answer against the truth: formulas count as a whole or not at all."""

from __future__ import annotations

import pytest

from stepscore.verify.equality import same_answer
from stepscore.verify.math_verifier import equal_to_truth

EQUAL = [
    (r"1-\frac{1}{\mathrm{e}}", "1-1/e"),
    (r"12 \bmod 5", "2"),
    (r"0.\overline{3}", "1/3"),
    (r"3\sqrt\frac{1}{2}", r"\frac{3}{\sqrt{2}}"),
    (r"1\pm\sqrt(2)", r"1\pm\sqrt{2}"),
    ("2:4:6", "1:2:3"),
    ("0.5:1:1.5", "1:2:3"),
    (r"x \equiv 2 \pmod 5", "2"),
    (r"x \equiv 2 \pmod{5}", r"2 \mod 5"),
    (r"x \equiv 7 \pmod{5}", r"2 \pmod{5}"),
    (r"\sin 30^\circ", "1/2"),
    (r"\sin(30°)", "0.5"),
    (r"2\cos 60^\circ + 1", "2"),
    (r"\tan 45^{\circ}", "1"),
    ("sin(x)", r"\sin x"),
    ("exp(2)", "e^2"),
    ("ln(2)", r"\ln 2"),
    (r"\varnothing", r"\emptyset"),
    (r"\{\}", r"\emptyset"),
    ("∅", "empty set"),
    ("O(n log n)", r"O(n \log n)"),
    (r"e^{i\pi}", "-1"),
    ("4 hours and 6 hours", "4 and 6 hours"),
    ("4 hours and 6 hours", "6 hours, 4 hours"),
    ("4 hours and 6 hours", "4, 6"),
    ("5 hours and 30 minutes", "5.5 hours"),
    ("5‰", "0.005"),
    ("5‰", "5"),
    ("5‰", "0.5%"),
    ("a=5", "a=5"),
    ("x=5", "5"),
    ("y=2x+1", "f(x)=2x+1"),
    ("P(A)=1/3", "P=1/3"),
    ("50%", "1/2"),
    ("50%", "0.5"),
    ("50%", "50"),
    ("12%", "12"),
    ("12%", "0.12"),
    (r"25\%, 50\%", "1/4, 1/2"),
    (r"25\%, 50\%", "25, 50"),
    (r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}"),
    (r"\begin{pmatrix} 1/2 \\ 2 \end{pmatrix}", r"\begin{bmatrix} 0.5 \\ 2 \end{bmatrix}"),
    (r"\begin{array}{cc} 1 & 2 \\ 3 & 4 \end{array}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
    ("5apples", "5"),
    ("(101)_2", "101_2"),
    (r"0.333\ldots", "1/3"),
    ("0.1666...", "1/6"),
    ("0.(3)", "1/3"),
    ("5 min", "300 sec"),
    (r"\max(3,4)", "4"),
    ("max(3,4)", "4"),
    ("cos²x", r"\cos^2 x"),
    (r"\cos^{2}(x)", r"1-\sin^2(x)"),
    (r"\frac\pi2", r"\frac{\pi}{2}"),
    (r"\frac{\pi}2", "π/2"),
    (r"\frac ab", "a/b"),
    (r"\sqrt12", r"\sqrt{1}2"),
    ("sqrt(12)", "2√3"),
    ("sqrt12", r"2\sqrt3"),
]

DIFFERENT = [
    (r"1-\frac{1}{\mathrm{e}}", "1"),
    (r"7\oplus 3", "3"),
    (r"2\mathbb{Z}+1", "1"),
    (r"3\operatorname{lcm}(2,3)", "3"),
    (r"5+\foo{3}", "5"),
    (r"4 \in S", "4"),
    (r"12 \bmod 5", "5"),
    (r"0.\overline{3}", "0"),
    (r"3\sqrt\frac{1}{2}", r"3\sqrt\frac{1}{5}"),
    (r"1\pm\sqrt(2)", "1"),
    ("1:3:2", "1:2:3"),
    ("a:b:c", "a:c:b"),
    (r"x \equiv 2 \pmod{5}", r"x \equiv 2 \pmod{7}"),
    ("O(n log n)", "O(n)"),
    ("4 hours and 6 hours", "10"),
    ("4 hours and 6 hours", "10 hours"),
    ("4 hours and 6 hours", "4 minutes and 6 minutes"),
    ("5‰", "5%"),
    ("a=5", "b=5"),
    ("x_1=3", "x_2=3"),
    ("50", "0.5"),
    ("20%", "20 dollars"),
    ("20%", "0.2 dollars"),
    (r"\sum_{k=1}^{4} k", r"\prod_{k=1}^{4} k"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \end{pmatrix}"),
    ("f'(x)=2x", "f(x)=2x"),
    (r"\frac{dy}{dx}", "0"),
    ("12abc", "12"),
    ("i+2j", "i+2"),
    (r"\mathbf{i}+2\mathbf{j}", r"\mathbf{i}+2"),
    ("0.333", "1/3"),
    (r"1,2,\ldots,10", "1,2,10"),
    (r"x^2 \text{ if } x>0", "x^2"),
    ("3x", "3"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_two_ways_to_write_an_answer_are_equal_in_a_vote_and_to_a_verifier(one: str, other: str) -> None:
    assert same_answer(one, other)
    assert same_answer(other, one)
    assert equal_to_truth(one, other)
    assert equal_to_truth(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_an_answer_is_not_equal_to_what_a_part_of_it_says(one: str, other: str) -> None:
    assert not same_answer(one, other)
    assert not same_answer(other, one)
    assert not equal_to_truth(one, other)
    assert not equal_to_truth(other, one)
