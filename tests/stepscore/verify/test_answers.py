"""Final answers: found where solutions state them, equal where mathematics says so, in bounded time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.verify.answer_pool import JUDGE, Judge
from stepscore.verify.answers import final_answer, group_answers, same_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{\frac{1}{2}}, then \boxed{x^{2}}. The answer is 9", "x^{2}"),
        (r"\boxed{\boxed{3}} and \boxed 7$.", "7"),
        (r"\boxed{\text{a \} brace}}", r"\text{a \} brace}"),
        (r"an open \boxed{5 and a closed \boxed{6}", "6"),
        ("first #### 1\n#### 70,000\nA: 3", "70,000"),
        ("She makes 9 * 2 = $18\nA: 18\n", "18"),
        ("The answer is 5 because 3 is odd.", "5"),
        ("**The final answer is: $18**.", "18"),
        ("The final answer is $x+1$. I hope it is correct.", "x+1"),
        (r"Answer: \(x^2\)", "x^2"),
        ("So the answer is Monday.", "Monday"),
        ("The answer is that John has 5 apples left.", "5"),
        ("**Final Answer:** (B)", "(B)"),
        ("She has 16-3-4=9 eggs", "9"),
        ("it fell to -5", "-5"),
        ("in all 3/4 cup", "3/4"),
        ("only words", None),
        ("", None),
    ],
)
def test_the_final_answer_is_what_the_text_states_last(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def test_finding_an_answer_is_linear_in_hostile_text() -> None:
    started = time.monotonic()
    for unit in ("\\boxed{", "{", "answer is ", "A: ", "1,", "####", "$", "\\("):
        final_answer(unit * (300_000 // len(unit)))
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("70,000", r"\$70000.00", True),
        ("0.75", r"\dfrac{3}{4}", True),
        ("1/3", "0.333333", True),
        ("1/3", "0.3333", False),
        ("x^2+2x+1", "(x+1)^2", True),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        (r"\{1,2\}", r"\{2,1\}", True),
        ("[1,2)", "[1,2]", False),
        ("x=5", "5", True),
        (r"\text{Monday}", "monday", True),
        ("dog", "god", False),
        ("5 apples", "5", True),
        ("18 dollars", "18 euros", False),
        ("-5", "5", False),
        ("70 000", "70000", True),
        ("3 4", "34", False),
        ("1, 200", "1200", False),
        ("3 1/2", "7/2", True),
        ("9^{9^{9^9}}", "1", False),
        ("7" * 5000, "7" * 5000, True),
        ("7" * 5000, "8", False),
        ("\\frac{", "}{", False),
    ],
)
def test_equality_of_answers(one: str, other: str, same: bool) -> None:
    assert same_answer(one, other) is same
    assert same_answer(other, one) is same


def test_equality_works_from_many_threads_at_once() -> None:
    pairs = [(rf"\frac{{{2 * n}}}{{14}}", f"{n}/7") for n in range(1, 13)]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda pair: same_answer(*pair), pairs))


def test_groups_keep_the_order_of_first_appearance_and_none_stays_alone() -> None:
    answers = ["18", None, r"\frac{36}{2}", "20", None, "$18.00", "18 eggs", "4*5"]
    assert group_answers(answers) == [[0, 2, 5, 6], [1], [3, 7], [4]]


@given(st.lists(st.none() | st.sampled_from(["1", "1.0", "01", "2", "$2$", "a word", "A Word", "2 cm", "3 cm"])))
def test_groups_are_a_partition(answers: list[str | None]) -> None:
    groups = group_answers(answers)
    assert sorted(index for group in groups for index in group) == list(range(len(answers)))
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    assert all(len(group) == 1 for group in groups if answers[group[0]] is None)


def test_a_thousand_numbers_are_grouped_without_algebra() -> None:
    started = time.monotonic()
    groups = group_answers([str(n % 97) if n % 2 else f"{n % 97}.0" for n in range(1024)])
    assert len(groups) == 97
    assert time.monotonic() - started < 2


def test_a_worker_that_was_killed_is_replaced() -> None:
    judge = Judge()
    assert judge.group(["2^3", "8"], [False, True]) == [0, 0]
    process = judge._process
    assert process is not None
    process.kill()
    process.wait()
    assert judge.group(["2^3", "8"], [False, True]) == [0, 0]
    judge.close()


def test_the_time_for_one_question_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    same_answer("2^3", "8")
    monkeypatch.setattr("stepscore.verify.answer_pool.TOTAL_SECONDS", 1.5)
    started = time.monotonic()
    towers = [f"9^{{9^{{9^{n}}}}}" for n in range(20)]
    assert JUDGE.group(towers, [False] * 20) == list(range(20))
    assert time.monotonic() - started < 8
