"""Sampled next steps: what the worked solution says of them."""

from __future__ import annotations

import pytest

from recipes.embedded.gsm8k import Worked, parse_step
from recipes.embedded.judging import judged
from recipes.embedded.rows import step_rows
from recipes.embedded.sampled import kept
from stepscore_service.jobs.data.labelled import of_row

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


def test_steps_are_kept_once_and_the_worked_solution_s_own_are_left_out() -> None:
    own = WORKED.steps[0].text
    texts = [own, "She sold 48*2 = 96.", " She sold 48*2 = 96.", None, "She sold clips.", "So 48+24 = 72.", *[None] * 3]
    found = list(kept(WORKED, texts, samples=3))
    assert [(step.before, step.text, step.sound) for step in found] == [
        (0, "She sold 48*2 = 96.", False),
        (1, "So 48+24 = 72.", True),
    ]


def test_a_sampled_step_becomes_a_row_in_which_it_alone_is_judged() -> None:
    sampled = {0: [{"before": 1, "text": "So 48+24 = 72.", "sound": True}]}
    rows = [of_row(row) for row in step_rows([WORKED], 1, sampled)]
    assert [row.extras["kind"] for row in rows][::2] == ["clean", "sampled"]
    assert rows[-1].labels == (None, 1.0)
    assert rows[-1].solution.steps[0] == rows[0].solution.steps[0]
