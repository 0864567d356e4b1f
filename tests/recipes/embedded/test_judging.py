"""Steps that a model wrote: what the worked solution says of them."""

from __future__ import annotations

import pytest

from recipes.embedded.gsm8k import Worked, parse_step
from recipes.embedded.judging import judged, labels_of

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
