"""Equality over values in all their notations: reflexive, symmetric, transitive and independent of the order."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from stepscore.verify.equality import group, same_answer

Spelled = tuple[object, list[str]]
"""A value, and several ways to write it."""

SMALL = st.integers(2, 40)
DAYS = st.sampled_from(["Monday", "Tuesday", "Friday", "Sunday"])


def of_integer(number: int) -> Spelled:
    return number, [str(number), f"{number:,}", f"{number:,}".replace(",", " "), f"{number}.0", rf"\boxed{{{number}}}",
                    f"${number}$", f"+{number}", f"{number:,}".replace(",", "{,}"), f"**{number}**"]  # fmt: skip


def of_fraction(top: int, bottom: int) -> Spelled:
    value = Fraction(top, bottom)
    return value, [rf"\frac{{{top}}}{{{bottom}}}", f"{top}/{bottom}", rf"\dfrac{{{2 * top}}}{{{2 * bottom}}}",
                   f"{top} / {bottom}", rf"{top} \div {bottom}",
                   rf"\frac{{{value.numerator}}}{{{value.denominator}}}"]  # fmt: skip


def of_decimal(hundredths: int) -> Spelled:
    value = Fraction(hundredths, 100)
    return value, [f"{hundredths / 100:.2f}", f"{hundredths / 100:.3f}", f"{hundredths}/100", f"{hundredths}%",
                   rf"{hundredths}\%", f"{hundredths} percent"]  # fmt: skip


def of_duration(minutes: int) -> Spelled:
    return ("time", minutes), [f"{minutes} minutes", f"{60 * minutes} s", f"{Fraction(minutes, 60)} hours",
                               f"{minutes} min"]  # fmt: skip


def of_area(number: int) -> Spelled:
    return ("area", number), [f"{number} m^2", rf"{number} \text{{ m}}^2", f"{number} square meters", f"{number} m²",
                              f"{10000 * number} cm^2"]  # fmt: skip


def of_pair(one: int, other: int) -> Spelled:
    return ("pair", one, other), [f"({one}, {other})", f"({one},{other})", rf"\left({one}, {other}\right)",
                                  f"( {one} , {2 * other}/2 )"]  # fmt: skip


def of_interval(low: int, more: int) -> Spelled:
    high = low + more
    return ("interval", low, high), [f"[{low}, {high})", rf"{low} \le x < {high}", rf"\left[{low},{high}\right)",
                                     rf"x \in [{low}, {high})", f"{low} ≤ x < {high}"]  # fmt: skip


def of_set(one: int, more: int) -> Spelled:
    other = one + more
    return ("set", one, other), [rf"\{{{one}, {other}\}}", rf"\{{{other},{one}\}}", f"{one} and {other}",
                                 f"x = {one} or x = {other}", f"{other}, {one}"]  # fmt: skip


def of_matrix(one: int, other: int) -> Spelled:
    rows = rf"{one} & 0 \\ 0 & {other}"
    return ("matrix", one, other), [rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}",
                                    rf"\begin{{bmatrix}} {rows} \end{{bmatrix}}"]  # fmt: skip


def of_time(hour: int, minute: int, day: str) -> Spelled:
    shown = f"{hour % 12 + 1}:{minute:02d}"
    return ("time of day", shown, day), [f"{shown} PM on {day}", f"{day}, {shown} p.m.", f"{shown} pm {day}"]


def of_digits(number: int, base: int) -> Spelled:
    digits, rest = "", number
    while rest:
        digits, rest = str(rest % base) + digits, rest // base
    return ("digits", digits, base), [f"{digits}_{base}", f"{digits}_{{{base}}}", f"{digits} base {base}",
                                      rf"({digits})_{base}", rf"{digits}_{{\text{{{base}}}}}"]  # fmt: skip


def of_date(day: int, month: str) -> Spelled:
    return ("date", day, month), [f"{month} {day}", f"{day} {month}", f"{month} {day}th", f"{day}th of {month}"]


def of_words(words: str) -> Spelled:
    return words, [words, words.upper(), rf"\text{{{words}}}", f"the {words}", f"{words}."]


def of_root(number: int, times: int) -> Spelled:
    return ("root", times * times * number), [rf"{times}\sqrt{{{number}}}", rf"\sqrt{{{times * times * number}}}",
                                              f"{times}√{number}", f"{times}*sqrt({number})"]  # fmt: skip


VALUES: st.SearchStrategy[Spelled] = st.one_of(
    st.builds(of_integer, st.integers(2, 99_999_999)),
    st.builds(of_fraction, SMALL, st.integers(41, 60)),
    st.builds(of_decimal, st.integers(1, 99)),
    st.builds(of_duration, SMALL),
    st.builds(of_area, SMALL),
    st.builds(of_pair, SMALL, SMALL),
    st.builds(of_interval, SMALL, SMALL),
    st.builds(of_set, SMALL, SMALL),
    st.builds(of_matrix, SMALL, SMALL),
    st.builds(of_time, st.integers(0, 11), st.integers(0, 59), DAYS),
    st.builds(of_digits, SMALL, st.integers(2, 9)),
    st.builds(of_date, st.integers(4, 20), st.sampled_from(["March", "May", "June"])),
    st.builds(of_words, st.sampled_from(["red car", "Evelyn", "blue whale", "isosceles"])),
    st.builds(of_root, st.sampled_from([2, 3, 5, 7]), st.integers(2, 6)),
)


@st.composite
def triples(draw: st.DrawFn) -> list[tuple[object, str]]:
    """Three spellings of at most two values."""
    values = [draw(VALUES), draw(VALUES)]
    chosen = [draw(st.sampled_from(values)) for _ in range(3)]
    return [(value, draw(st.sampled_from(spellings))) for value, spellings in chosen]


@given(triples())
@settings(max_examples=250, deadline=None)
def test_two_spellings_are_equal_if_and_only_if_their_value_is_the_same(triple: list[tuple[object, str]]) -> None:
    for one, other in permutations(triple, 2):
        same = one[0] == other[0]
        either = isinstance(one[0], int | Fraction) or isinstance(other[0], int | Fraction)
        if same or not either:  # a number without a unit may be a quantity's
            assert same_answer(one[1], other[1]) == same, (one, other)


@given(triples())
@settings(max_examples=150, deadline=None)
def test_equality_is_reflexive_symmetric_and_transitive_within_a_vote(triple: list[tuple[object, str]]) -> None:
    texts = [text for _, text in triple]
    parts = {
        frozenset(
            frozenset(order[member] for member in members) for members in group([texts[at] for at in order]).groups
        )
        for order in permutations(range(3))
    }
    assert len(parts) == 1
    assert all(same_answer(text, text) for text in texts)
    assert sorted(member for members in next(iter(parts)) for member in members) == [0, 1, 2]
