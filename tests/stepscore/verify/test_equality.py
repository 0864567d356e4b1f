"""Equality of answers: by canonical form, transitive, in any order, and with an end in time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepscore.verify.answer_pool import LATE, AnswerPool
from stepscore.verify.equality import group, group_answers, same_answer
from stepscore.verify.normal import read_structure

EQUAL = [
    ("70,000", r"\$70000.00"),
    ("0.75", r"\dfrac{3}{4}"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    (r"\{1,2\}", r"\{2,1\}"),
    ("x=5", "5"),
    (r"\text{Monday}", "monday"),
    ("5 apples", "5"),
    ("70 000", "70000"),
    ("3 1/2", "7/2"),
    ("7" * 5000, "7" * 5000),
    (r"60 \text{ km/h}", "60"),
    ("5 m/s", "5"),
    ("10 m^2", "10"),
    ("60 cm2", "60"),
    ("14 square feet", "14"),
    ("£10", "10"),
    ("€10", "10"),
    ("√2/2", r"\frac{\sqrt{2}}{2}"),
    ("½", r"\frac{1}{2}"),
    ("3½", r"\frac{7}{2}"),
    ("3.2×10⁵", r"3.2 \times 10^5"),
    ("∞", r"\infty"),
    ("–3", "-3"),
    ("−3", "-3"),
    ("pi/4", r"\frac{\pi}{4}"),
    ("2**10", "1024"),
    ("3 1/2 cups", r"\frac{7}{2}"),
    ("25 %", "25"),
    ("101 base 2", "101_2"),
    ("1, 2 and 3", r"\{1,2,3\}"),
    ("5 or 7", "5, 7"),
    (r"6 \text{ and } 8", "6, 8"),
    ("10 hours/day", "10"),
    ("28 percentage", "28%"),
    (r"\frac{10\sqrt{10.5}}{27}", r"\frac{5\sqrt{42}}{27}"),
    ("(4,2,4)", "(4, 2, 4)"),
    (r"x \le 3", r"(-\infty, 3]"),
    ("0 < x < 2", "(0,2)"),
    (r"1 \pm \sqrt{19}", r"1 + \sqrt{19}, 1 - \sqrt{19}"),
    ("5:30 PM", "5:30 p.m."),
    ("March 5, 2020", "5 March 2020"),
    ("2x+y=1", "4x+2y=2"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}"),
    (r"0.\overline{3}", "1/3"),
    (r"90^\circ", "90"),
    (r"11,\! 111,\! 111,\! 100", "11111111100"),
    ("10{,}000", "10000"),
    (r"2\sqrt{3}\text{ cm}", r"\sqrt{12}"),
    ("5 km", "5000 m"),
    ("x<1 or x>2", r"(-\infty,1)\cup(2,\infty)"),
    ("5!", "120"),
]

DIFFERENT = [
    ("1/3", "0.333333"),
    ("1/3", "0.3333333333333333"),
    (r"\frac{\pi}{4}", "0.785398"),
    ("[1,2)", "[1,2]"),
    ("dog", "god"),
    ("18 dollars", "18 euros"),
    ("-5", "5"),
    ("3 4", "34"),
    ("1, 200", "1200"),
    ("7" * 5000, "8"),
    ("\\frac{", "}{"),
    (r"6.63 \times 10^{-34}", r"1.6 \times 10^{-19}"),
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
    (r"e^{-50}", r"e^{-60}"),
    (r"10^{-20}", "0"),
    ("101_2", "101_3"),
    ("3x", "3"),
    ("4i", "4"),
    ("12pi", "12"),
    ("2e", "2"),
    ("2 squared", "2"),
    ("3 less than x", "3"),
    ("(3,1)", "(1,3)"),
    ("2x+y=1", "1"),
    ("yes", "no"),
    ("12:00", "1:00"),
    ("20%", "20 dollars"),
    ("x=1, y=2", "x=2, y=1"),
]


WRITTEN_ELSEWHERE = [
    ("1.234.567", "1234567"),
    ("1.234,56", "1234.56"),
    ("1 234,5", "1234.5"),
    ("€12,50", "12.5"),
    ("12,50 €", "12.5"),
    ("3,5 km", "3.5 km"),
    ("two thirds", "2/3"),
    ("one-half", "0.5"),
    ("a quarter", "1/4"),
    ("seven halves", "7/2"),
    ("7 R 2", "7 remainder 2"),
    ("12 rem 3", "12 remainder of 3"),
    ("A, C", "(A) and (C)"),
    ("AC", "A and C"),
    ("(B) and (A)", "A, B"),
]
NOT_WRITTEN_ELSEWHERE = [
    ("1.234", "1234"),
    ("3,5", "3.5"),
    ("1,23", "1.23"),
    ("two thirds", "3/2"),
    ("half past two", "1/2"),
    ("7 R 2", "7.2"),
    ("7 R 2", "7 R 3"),
    ("A, C", "A"),
    ("A and C", "A and B"),
]


EQUAL += [
    ("1.234.567", "1234567"),
    ("1.234,56", "1234.56"),
    ("3,50 €", "€3.50"),
    ("17:30", "5:30 PM"),
    ("March 14", "14 March"),
    ("Sept. 3, 2021", "3rd of September, 2021"),
    ("5 markers", "5"),
    ("12 decks", "12"),
    ("3 marbles", "3"),
    ("7 octagons", "7"),
    (r"\varnothing", "no solution"),
    ("no solution", "No real solutions."),
    ("无解", "no solution"),
    (r"\text{DNE}", "does not exist"),
    (r"12 \text{ m s}^{-1}", "12 m/s"),
    ("5 = x", "x = 5"),
    ("one half", "1/2"),
    ("three-quarters", "0.75"),
    ("7 R 3", "7 remainder 3"),
    ("7 R3", "7 with a remainder of 3"),
    (r"\overrightarrow{AB}", r"\vec{AB}"),
    ("1/2 of the pizza", "1/2"),
    ("$1.5 million", "1,500,000"),
    (r"\mathbf{\frac{1}{2}}", "0.5"),
    (r"\boxed{\frac{5}{9}}", r"\frac59"),
    ("A and C", "A, C"),
    (r"(3, \frac{\pi}{2})", r"\left( 3, \frac{\pi}{2} \right)"),
]
DIFFERENT += [
    ("12 positive and 12 negative integers", "12"),
    ("5 apples and 5 pears", "5"),
    ("1.234", "1234"),
    ("7 R 3", "7"),
    ("7 R 3", "7 R 2"),
    ("17:30", "5:30 AM"),
    ("no solution", "0"),
    ("does not exist", "no solution"),
    ("A and C", "A"),
    ("one third", "3"),
    ("$1.5 million", "1.5"),
    (r"12 \text{ m s}^{-1}", r"12 \text{ m s}^{-2}"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL + WRITTEN_ELSEWHERE)
def test_two_spellings_of_one_answer_are_equal(one: str, other: str) -> None:
    assert same_answer(one, other)
    assert same_answer(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT + NOT_WRITTEN_ELSEWHERE)
def test_two_answers_are_different(one: str, other: str) -> None:
    assert not same_answer(one, other)
    assert not same_answer(other, one)


@pytest.mark.parametrize(
    "answers",
    [
        ["5", r"5 \text{ apples}", r"5 \text{ oranges}"],
        ["7", "7 days", "7 weeks"],
        ["101", "101_2", "101_3"],
        ["0.5", "50", "50%", "1/2"],
        ["5", "5 km", "5000 m", "5000"],
        ["10", "£10", "€10", "$10"],
    ],
)
def test_groups_do_not_depend_on_the_order_of_candidates(answers: list[str]) -> None:
    found = {_partition(list(order)) for order in permutations(answers)}
    assert len(found) == 1


NUMBERS = ["1", "1.0", "01", "2", "$2$", "2 cm", "3 cm", "2 km", "2000 m", "2000", "50%", "50", "0.5", "1/2"]
OTHERS = ["a word", "A Word", "x", "2x", "x+x", "(1,2)", "1,2", "2 and 1", "[1,2]", "B", "(B)", "yes"]
ANSWERS = st.sampled_from(NUMBERS) | st.sampled_from(OTHERS)


def _partition(answers: list[str]) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(answers[at] for at in members) for members in group_answers(answers))


@settings(deadline=None)
@given(
    st.lists(ANSWERS, unique=True, max_size=8).flatmap(
        lambda answers: st.tuples(st.just(answers), st.permutations(answers))
    )
)
def test_grouping_is_the_same_in_every_order(orders: tuple[list[str], list[str]]) -> None:
    assert _partition(orders[0]) == _partition(orders[1])


@settings(deadline=None)
@given(st.lists(st.none() | ANSWERS))
def test_groups_are_a_partition(answers: list[str | None]) -> None:
    groups = group_answers(answers)
    assert sorted(index for members in groups for index in members) == list(range(len(answers)))
    assert [members[0] for members in groups] == sorted(members[0] for members in groups)
    assert all(len(members) == 1 for members in groups if answers[members[0]] is None)


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(0, 3))
def test_formatting_variants_of_one_number_are_one_group(number: int, zeros: int) -> None:
    tail = "." + "0" * zeros if zeros else ""
    variants = [
        f"{number}{tail}",
        f"{number:,}",
        f"${number}$",
        rf"\text{{{number}}}",
        f"\\$ {number}",
        f"**{number}**",
    ]
    variants += [
        f"{number} apples",
        f"x = {number}",
        f"{number}.",
        rf"\frac{{{2 * number}}}{{2}}",
        f"{number:,}".replace(",", " "),
    ]
    assert len(group_answers(variants[:4] + variants[5:6] + variants[7:])) == 1
    assert all(same_answer(str(number), variant) for variant in variants)


def test_groups_keep_the_order_of_first_appearance_and_none_stays_alone() -> None:
    answers = ["18", None, r"\frac{36}{2}", "20", None, "$18.00", "18 dollars", "4*5"]
    assert group_answers(answers) == [[0, 2, 5, 6], [1], [3, 7], [4]]


def test_equality_works_from_many_threads_at_once() -> None:
    pairs = [(rf"\frac{{{2 * n}x}}{{14}}", f"{n}x/7") for n in range(1, 13)]
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda pair: same_answer(*pair), pairs))


def test_a_thousand_numbers_are_grouped_without_algebra() -> None:
    started = time.monotonic()
    groups = group_answers([str(n % 97) if n % 2 else f"{n % 97}.0" for n in range(1024)])
    assert len(groups) == 97
    assert time.monotonic() - started < 2


def test_a_pair_that_could_not_be_compared_in_time_is_reported() -> None:
    found = group(["9^{9^{9^9}}", "1", "2", "9^{9^{9^9}}"])
    assert found.groups == [[0, 3], [1], [2]]
    assert found.undecided == [(0, 1), (0, 2)]


def test_a_hanging_comparison_does_not_delay_another_thread() -> None:
    pool = AnswerPool(most=3)
    assert pool.key("2^3") == "8"
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(pool.key, "9^{9^{9^9}}+1")
        first = pool.key("2^4")
        assert not slow.done()
        assert first == "16"
        assert slow.result() is LATE
    pool.close()


@pytest.mark.parametrize(
    "unit",
    [r"\{x:x", "(a,", "$a", r"\frac", r"\sqrt(", "1 to ", r"\\", "C(", "a:", r"{a\choose ", "x = ", "1 ", "{", "0.1"],
)
@pytest.mark.parametrize("characters", [1900, 20_000])
def test_the_structure_of_a_hostile_answer_is_read_in_time(unit: str, characters: int) -> None:
    started = time.process_time()
    read_structure(unit[:4] + unit * (characters // len(unit)))
    assert time.process_time() - started < 5


def test_a_worker_that_was_killed_is_replaced() -> None:
    pool = AnswerPool(most=1)
    assert pool.key("2^3") == "8"
    process = pool._all[0]._process
    process.kill()
    process.wait()
    assert pool.key("2^5") == "32"
    assert pool.key("2^6") == "64"
    pool.close()


def test_the_calculations_of_one_grouping_have_an_end() -> None:
    same_answer("2^3", "8")
    started = time.monotonic()
    towers = [f"9^{{9^{{9^{n}}}}}" for n in range(60)]
    assert len(group(towers).groups) == 60
    assert time.monotonic() - started < 25
