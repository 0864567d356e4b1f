"""Steps that a model wrote: what the worked solution says of them."""

from __future__ import annotations

import pytest

from recipes.embedded.gsm8k import Worked, parse_step
from recipes.embedded.judging import judged, labels_of, miscalculates

WORKED = Worked(
    "Natalia sold clips to 48 friends in April and half as many in May, each for $3. What did she earn?",
    (
        parse_step("She sold 48/2 = <<48/2=24>>24 clips in May."),
        parse_step("That is 3*(48+24) = $<<3*(48+24)=216>>216."),
        parse_step("The answer is 216."),
    ),
    "216",
)


@pytest.mark.parametrize(
    ("before", "text", "sound"),
    [
        (0, "In May she sold 48 / 2 = 24.", True),
        (1, "Together she sold 48+24 = 72 clips.", True),  # on the way to a later result
        (1, "She earned (48+24) * 3 = $216.", True),
        (0, "She sold 48*2 = 96 clips in May.", False),  # holds, but leads nowhere
        (0, "In May she sold 48/2 = 23.", False),  # does not hold
        (1, "So 23+48 = 72 clips.", False),  # a value that is due, but not that of this sum
        (1, "She sold 48/2 = 24 clips in May.", None),  # known already
        (0, "She sold clips.", None),
        (2, "#### 216", True),
        (2, "The answer is 72.", False),
        (0, "The answer is 216.", None),  # right, but nothing leads to it
        (0, "The answer is 24.", False),
        (0, "That is 48/7 = 6.86.", False),
        (0, "1. 48/2 = 24", True),
        (1, "2. 48 + 24 = 72", True),
        (0, "So, 48/2 = 23", False),
        (0, "48 / 6 / 3 = 24", True),
        (0, "50%/100% * 48 = 24", True),
        (0, "In 2020, 48/2 = 24 were sold.", True),
        (1, "- 48 + 24 = 72", True),
        (1, "Half of it 1/2 * 48 + 48 = 144/2 = 72", True),
        (1, "48+24 = 24*3 = 72", True),
        (0, "48/2 = 96/4 = 23", False),
        (1, "They earned 3*48 + 3 * 24 = 144 + 72 = 216", True),
        (0, "April - 40 + 16 = 24", True),
        (0, "48 - 50% = 24", True),
        (0, "From 9:48 - 2 = 24", True),
    ],
)
def test_a_step_is_judged_by_what_the_worked_solution_works_out(before: int, text: str, sound: bool | None) -> None:
    assert judged(WORKED, before, text) is sound


IN_MAY, TOGETHER, ANSWER = (
    "She sold 48/2 = 24 clips in May.",
    "Together she sold 48+24 = 72 clips.",
    "The answer is 216.",
)


def test_every_step_of_a_solution_with_the_right_answer_is_sound() -> None:
    assert labels_of(WORKED, [IN_MAY, "Then 72 * 3 = 216.", "The answer is 216."], right=True) == [True, True, True]


def test_a_sum_that_is_wrong_has_no_label_though_the_answer_is_right() -> None:
    steps = [IN_MAY, "Together she sold 48+24 = 82 clips.", "The answer is 216."]
    assert labels_of(WORKED, steps, right=True) == [True, None, True]


@pytest.mark.parametrize(
    "text",
    [
        "Sam can assemble 10/15 = 2/3 widgets per 15 minutes",
        "The papers weigh 8/5 + 2/5 = 10/5 = 2 ounces.",
        "the reduced price was $120 - ($120 * 50%) = $120 - $60 = $60.",
        "The earbuds cost 200 + 200*15% = 200+30 = 230.",
        "Then 5 * 3 = 15 + 2 = 17.",
        "He uses 600 x 30 = 18 000 watts.",
        "192 / 4 = 48, and 48/2 = 24",
        "It lasts her 14 / 1 / 4 = 14 * 4 = 56 washes.",
    ],
)
def test_what_models_write_for_right_sums_is_not_called_wrong(text: str) -> None:
    assert not miscalculates(text)


@pytest.mark.parametrize("text", ["So, 800 - 10 = 395 chairs.", "60 * 2=180 seeds", "75 + 50 + 75 = 190", "315/8 = 27"])
def test_wrong_sums_are_called_so(text: str) -> None:
    assert miscalculates(text)


@pytest.mark.parametrize(
    ("steps", "labels"),
    [
        ([IN_MAY, "She sold 48+20 = 68.", TOGETHER, "The answer is 204."], [True, False, None, False]),
        ([IN_MAY, "She sold clips.", "The answer is 72."], [True, None, False]),
        (["The answer is 72."], [False]),
    ],
)
def test_a_wrong_solution_is_wrong_at_its_first_wrong_step_and_at_its_answer(
    steps: list[str], labels: list[bool | None]
) -> None:
    assert labels_of(WORKED, steps, right=False) == labels
