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
