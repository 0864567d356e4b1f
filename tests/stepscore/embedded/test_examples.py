"""What a newcomer types first: the wrong step is the first error, and every sound step scores higher.

Through the running service, with the checkpoint that ships, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

import embedded_case
from service_case import connect

pytestmark = embedded_case.needed


@dataclass(frozen=True)
class Example:
    """wrong: the index of the only wrong step."""

    problem: str
    steps: tuple[str, ...]
    wrong: int


EXAMPLES = {
    "48 clips": Example(
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
        "How many clips did Natalia sell altogether in April and May?",
        ("Natalia sold 48/2 = 24 clips in May.", "Natalia sold 48+24 = 62 clips altogether."),
        1,
    ),
    "15% of 80": Example(
        "What is 15% of 80?",
        (
            "15% is 15/100 = 0.15.",
            "We multiply 0.15 by 80.",
            "0.15 x 80 = 120.",
            "That is a mistake: 0.15 x 80 = 12.",
        ),
        2,
    ),
    "total time": Example(
        "A train travels 60 miles in 1.5 hours, then 40 miles in 0.5 hours. What is its average speed?",
        (
            "The total distance is 60 + 40 = 100 miles.",
            "The total time is 1.5 - 0.5 = 1 hour.",
        ),
        1,
    ),
    "9 x 2": Example(
        "Janet has 9 eggs left each day and sells each for $2. How much does she make every day?",
        ("Janet has 9 eggs to sell.", "She makes 9 x 2 = 16 dollars every day."),
        1,
    ),
    "12 / 4": Example(
        "Tom shares 12 cookies among 4 friends. How many cookies does each friend get?",
        ("There are 12 cookies and 4 friends.", "Each friend gets 12 / 4 = 4 cookies."),
        1,
    ),
    "2x + 5 = 15": Example(
        "Solve 2x + 5 = 15 for x.",
        ("We start from 2x + 5 = 15.", "Subtract 5 from both sides: 2x = 20."),
        1,
    ),
    "8 x 3": Example(
        "A box holds 8 pencils. How many pencils are in 3 boxes?",
        ("There are 3 boxes with 8 pencils each.", "That is 8 x 3 = 21 pencils."),
        1,
    ),
    "15 / 3": Example(
        "15 apples are shared equally among 3 children. How many apples does each child get?",
        ("There are 15 apples and 3 children.", "15 / 3 = 3.", "Wait, 15 / 3 = 5, so each child gets 5 apples."),
        1,
    ),
}


@pytest.fixture(scope="module")
def client(embedded_url: str) -> Iterator[httpx.Client]:
    with connect(embedded_url) as client:
        yield client


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_wrong_step_is_the_first_error_and_every_sound_step_scores_higher(name: str, client: httpx.Client) -> None:
    example = EXAMPLES[name]
    answer = client.post("/score", json={"problem": example.problem, "steps": list(example.steps)}).json()
    assert answer["first_error"] == example.wrong, answer["rewards"]
    sound = [reward for step, reward in enumerate(answer["rewards"]) if step != example.wrong]
    assert min(sound) > answer["rewards"][example.wrong], answer["rewards"]


@dataclass(frozen=True)
class Wording:
    """follows: the steps that are computed soundly from the wrong one, of which nothing is asked."""

    problem: str
    steps: tuple[str, ...]
    wrong: int
    follows: frozenset[int] = frozenset()


WORDINGS = (
    Wording(
        "Natalia sold clips to 48 of her friends in April, and half as many in May. "
        "How many clips did she sell in April and May together?",
        ("In May she sold 48 / 2 = 24 clips.", "In total she sold 48 + 24 = 62 clips."),
        1,
    ),
    Wording(
        "Tom sells 48 clips in April. In May he sells half of that. What is the total?",
        (
            "Half of 48 is 24, so Tom sold 24 clips in May.",
            "Adding both months: 48 + 24 = 62.",
            "The total is 62 clips.",
        ),
        1,
        frozenset({2}),
    ),
    Wording(
        "A shop sold 48 clips in one month and half as many clips the next month. "
        "How many clips did it sell altogether?",
        ("April: 48 clips.", "May: 48 * 0.5 = 24 clips.", "Altogether: 24 + 48 = 62 clips."),
        2,
    ),
    Wording(
        "What is 15% of 80?",
        (
            "15% means 15/100 = 0.15.",
            "We multiply 0.15 by 80.",
            "0.15 * 80 = 120.",
            "Let me check: 10% of 80 is 8 and 5% is 4, so the answer is 8 + 4 = 12.",
        ),
        2,
    ),
    Wording(
        "Compute 15 percent of 80.",
        (
            "15 percent as a decimal is 0.15.",
            "So we need 0.15 x 80.",
            "0.15 x 80 = 120.",
            "Wait, that is too large. 0.15 x 80 = 12.",
        ),
        2,
    ),
    Wording(
        "A shirt costs 80 dollars and is reduced by 15%. How many dollars is the discount?",
        (
            "15% = 0.15.",
            "The discount is 0.15 times 80.",
            "That is 0.15 * 80 = 120 dollars.",
            "That cannot be right, since it is more than 80; the discount is 0.15 * 80 = 12 dollars.",
        ),
        2,
    ),
    Wording(
        "A train travels 60 miles in 1.5 hours and then 40 miles in 0.5 hours. What is its average speed?",
        ("The total distance is 60 + 40 = 100 miles.", "The total time is 1.5 - 0.5 = 1 hour."),
        1,
    ),
    Wording(
        "A train goes 60 mi in 1.5 h and then 40 mi in 0.5 h. Find the average speed over the whole trip.",
        ("Total distance: 60 + 40 = 100 mi.", "Total time: 1.5 - 0.5 = 1 h.", "Average speed: 100 / 1 = 100 mi/h."),
        1,
        frozenset({2}),
    ),
    Wording(
        "First a train covers 60 miles in 1.5 hours, then another 40 miles in 0.5 hours. How fast is it on average?",
        ("Altogether the train covers 60 + 40 = 100 miles.", "Altogether it needs 1.5 - 0.5 = 1.0 hours."),
        1,
    ),
    Wording("What is 9 x 2?", ("9 x 2 = 16.",), 0),
    Wording("Multiply 9 by 2, then add 1.", ("First 9 * 2 = 16.", "Then 16 + 1 = 17."), 0, frozenset({1})),
    Wording(
        "Each of 9 children has 2 apples. How many apples are there?",
        ("There are 9 children with 2 apples each.", "So there are 9 x 2 = 16 apples."),
        1,
    ),
    Wording("What is 12 / 4 + 1?", ("12 / 4 = 4.", "4 + 1 = 5."), 0, frozenset({1})),
    Wording(
        "12 cookies are shared by 4 children. How many cookies does each get?",
        ("We divide the 12 cookies by 4 children.", "12 / 4 = 4 cookies each."),
        1,
    ),
    Wording("Divide 12 by 4.", ("12 divided by 4 = 4.",), 0),
    Wording("Solve 2x + 5 = 15.", ("Subtract 5 from both sides.", "2x = 20.", "x = 10."), 1, frozenset({2})),
    Wording(
        "Find x if 2x + 5 = 15.",
        ("We take 5 from both sides: 2x = 20.", "Dividing by 2 gives x = 10."),
        0,
        frozenset({1}),
    ),
    Wording("Solve for x: 2x + 5 = 15", ("Start with 2x + 5 = 15.", "Subtracting 5 gives 2x = 20."), 1),
    Wording(
        "A box holds 8 pens. How many pens are in 3 boxes?",
        ("Each box holds 8 pens and there are 3 boxes.", "8 x 3 = 21 pens."),
        1,
    ),
    Wording("What is 8 x 3?", ("8 x 3 = 21.",), 0),
    Wording(
        "Ann buys 3 books at 8 dollars each. How much does she pay?",
        ("She pays 8 * 3 = 21 dollars.", "The answer is 21."),
        0,
        frozenset({1}),
    ),
    Wording(
        "15 sweets are shared by 3 children. How many does each child get?",
        ("15 / 3 = 3.", "Wait, that is wrong: 15 / 3 = 5."),
        0,
    ),
    Wording(
        "What is 15 divided by 3?", ("15 divided by 3 is 3.", "Let me check: 3 * 3 = 9, not 15.", "So 15 / 3 = 5."), 0
    ),
    Wording(
        "Split 15 dollars evenly among 3 people. How much does each get?",
        ("We divide 15 by 3.", "15 / 3 = 3 dollars.", "Correction: 15 / 3 = 5 dollars."),
        1,
    ),
)
"""The same eight examples, each in three wordings that nothing was fitted on."""


def test_in_other_wordings_the_wrong_step_is_still_the_lowest(client: httpx.Client) -> None:
    """In two of them a sound step before it is just under the threshold (0.459 and 0.488)."""
    items = [{"problem": each.problem, "steps": list(each.steps)} for each in WORDINGS]
    answers = client.post("/score", json={"items": items}).json()["results"]
    for each, answer in zip(WORDINGS, answers, strict=True):
        rewards = answer["rewards"]
        sound = [reward for step, reward in enumerate(rewards) if step != each.wrong and step not in each.follows]
        assert min(sound, default=1.0) > rewards[each.wrong], (each.problem, rewards)
        assert rewards[each.wrong] < answer["threshold"], (each.problem, rewards)
    first = [answer["first_error"] == each.wrong for each, answer in zip(WORDINGS, answers, strict=True)]
    assert sum(first) >= 22, first


SPELLED = (
    ("What is 3 + 4?", "3+4={}", "7", "8"),
    ("What is 3 + 4?", "3 + 4 = {}", "7", "8"),
    ("What is 3+4?", "So 3+4={}.", "7", "9"),
    ("What is 12 times 3?", "12*3={}", "36", "38"),
    ("What is 12 times 3?", "12 × 3 = {}", "36", "32"),
    ("What is 12 times 3?", "12 x 3 = {}", "36", "46"),
    ("What is 84 divided by 4?", "84÷4={}", "21", "24"),
    ("What is 84 divided by 4?", "84 / 4 = {}", "21", "16"),
    ("What is 50 - 8?", "50-8={}", "42", "58"),
)


@pytest.mark.parametrize(("problem", "step", "right", "wrong"), SPELLED)
def test_spacing_and_signs_do_not_decide(problem: str, step: str, right: str, wrong: str, client: httpx.Client) -> None:
    requests = [{"problem": problem, "steps": [step.format(number)]} for number in (right, wrong)]
    sound, unsound = (client.post("/score", json=each).json()["rewards"][0] for each in requests)
    assert sound > 0.6, (sound, unsound)
    assert unsound < 0.2, (sound, unsound)


TRAIN = "A train goes 60 km in 1.5 h and then 40 km in 0.5 h. What is its average speed?"
COOKIES = "12 cookies are shared equally by 4 friends. How many cookies does each friend get?"
PENCILS = "A box holds 8 pencils. How many pencils are in 3 boxes?"
CAR = "A car costs $12000 and its price drops by 25%. What does it cost now?"
LOSS = "12,000 * 0.25 = 3,000, so it costs"
FORMS = (
    ("What is 3 - 8?", "3 - 8 = -5", "3 - 8 = 5"),
    ("What is -4 * 6?", "-4 * 6 = -24", "-4 * 6 = 24"),
    ("What is (-4) * (-6)?", "(-4) * (-6) = 24", "(-4) * (-6) = -24"),
    ("Solve 2x + 15 = 5.", "2x = 5 - 15, so 2x = -10.", "2x = 5 - 15, so 2x = 10."),
    (TRAIN, "The total time is 1.5 h + 0.5 h = 2 h.", "The total time is 1.5 h - 0.5 h = 1 h."),
    (TRAIN, "Total time: 1.5 hours + 0.5 hours = 2 hours", "Total time: 1.5 hours - 0.5 hours = 1 hour"),
    (PENCILS, "8 pencils × 3 boxes = 24 pencils", "8 pencils + 3 boxes = 11 pencils"),
    (COOKIES, "12 / 4 = 3", "12 – 4 = 8"),
    (COOKIES, "12 ÷ 4 = 3", "12 · 4 = 48"),
    (COOKIES, r"\(12 \div 4 = 3\)", r"\(12 \times 4 = 48\)"),
    (COOKIES, "１２ ÷ ４ = ３", "１２ ÷ ４ = ４"),
    (PENCILS, "٨ × ٣ = ٢٤", "٨ × ٣ = ٢١"),
    (CAR, f"{LOSS} 12,000 - 3,000 = 9,000", f"{LOSS} 12,000 - 3,000 = 8,000"),
)


def test_signs_units_and_other_spellings_do_not_hide_a_mistake(client: httpx.Client) -> None:
    items = [{"problem": problem, "steps": [step]} for problem, *steps in FORMS for step in steps]
    rewards = [answer["rewards"][0] for answer in client.post("/score", json={"items": items}).json()["results"]]
    for (_, right, wrong), sound, unsound in zip(FORMS, rewards[::2], rewards[1::2], strict=True):
        assert sound > 0.7, (right, sound)
        assert unsound < 0.3, (wrong, unsound)
