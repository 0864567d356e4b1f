"""Answers that other graders were reported to misread, as votes of a running service and as rows of `verify-check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli_case import invoke, read, write
from service_case import connect, live, torch_scorer

REPORTED: dict[str, tuple[str, list[str], list[str]]] = {
    "Math-Verify 44: two boxes of one value are not strung together": (
        "4",
        [
            "So \\boxed{004} is it.\n\n**Final Answer**\n\\boxed{004}",
            r"\boxed{4}",
            "The remainder is \\boxed{4}.\nAnswer: 4",
        ],
        [r"\boxed{004004}", r"\boxed{40}", "\\boxed{4}\n\n**Final Answer**\n\\boxed{400}"],
    ),
    "Math-Verify 57: a box far from the last one is not part of the answer": (
        "4",
        [r"\boxed{35 cm} ++++++ \boxed{4}", r"I think the answer is \boxed{4}, because \boxed{4} is even."],
        [r"\boxed{4} ++++++ \boxed{35 cm}", r"\boxed{35}"],
    ),
    "lm-evaluation-harness 3214: a price with cents and a full stop": (
        "29",
        ["...the total cost of Rory's delivery order is $29.00.", r"It costs \$29.", "The answer is 29 dollars."],
        ["...the total cost of Rory's delivery order is $29.50.", "The total is $2,900.", "The answer is $2.9."],
    ),
    "lm-evaluation-harness 1204: calculator notes and thousands": (
        "70000",
        ["He made 200,000-130,000=$<<200000-130000=70000>>70,000\n#### 70000", "The profit is $70,000."],
        ["He made 200,000-130,000=$<<200000-130000=70000>>70,000\n#### 130000", "The profit is $70."],
    ),
    "lm-evaluation-harness 3477: an instruction that mentions a box is not one": (
        "12",
        ["Mark your solution with \\boxed\n\nThe answer is 12.", "Put it in \\boxed{}.\n\nThe answer is 12."],
        ["Mark your solution with \\boxed\n\nThe answer is 13."],
    ),
    "lm-evaluation-harness 3643: a bold announcement": (
        "4",
        ["The difference between 8 and 4 is 4.\n\n**Answer:** 4.", "**Answer: 4**"],
        ["The difference between 8 and 4 is 4.\n\n**Answer:** 8.", "**Answer: 14**"],
    ),
    "lm-evaluation-harness 2552: a box in a display": (
        "42",
        [r"Thus the answer is \[ \boxed{42} \]", r"\[ \boxed{42}. \]", r"$$\boxed{42}$$"],
        [r"Thus the answer is \[ \boxed{24} \]", r"\[ 42 \neq \boxed{43} \]"],
    ),
    "sglang 29933: a model that goes on with questions of its own": (
        "18",
        ["9 * 2 = 18\n#### 18\n\nQuestion: Tom has 2 cats.\nAnswer: 2 + 3 = 5\n#### 5", "9 * 2 = 18\n#### 18"],
        ["9 * 2 = 19\n#### 19\n\nQuestion: Tom has 2 cats.\nAnswer: 9 + 9 = 18\n#### 18", "#### 5"],
    ),
    "open-r1 566: two fractions that are near each other": (
        r"\frac{63}{400}",
        [r"\boxed{\frac{63}{400}}", r"\boxed{0.1575}", "The answer is 63/400."],
        [r"\boxed{\frac{64}{400}}", r"\boxed{\frac{63}{40}}", r"\boxed{63}"],
    ),
    "open-r1 628: a number after the announcement": (
        "180",
        [
            "185 \\div \\frac{37}{36} = 180\n\nTherefore, the answer is: 180.",
            "It would take 180 days.\nAnswer: 180 days",
        ],
        ["185 \\div \\frac{37}{36} = 180\n\nTherefore, the answer is: 185."],
    ),
    "reasoning-from-scratch 133: digits in a base and grouped thousands": (
        "52_8",
        [r"\boxed{52_8}", r"\boxed{52_{8}}", "The answer is 52 base 8."],
        [r"\boxed{528}", r"\boxed{52}", r"\boxed{52_9}"],
    ),
    "reasoning-from-scratch 133: thin spaces are not a tuple": (
        r"11,\! 111,\! 111,\! 100",
        [r"\boxed{11,\!111,\!111,\!100}", r"\boxed{11111111100}"],
        [r"\boxed{(11, 111, 111, 100)}", r"\boxed{1111111110}"],
    ),
    "marin 9163: a text that ends within its box has no answer": (
        "7",
        [r"\boxed{7}", "The answer is 7."],
        [r"First \boxed{7}. Then \boxed{", r"\boxed{8}", r"\boxed{7"],
    ),
}


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[httpx.Client]:
    with live({"tiny": torch_scorer(folder, "tiny")}) as url, connect(url) as client:
        yield client


@pytest.mark.parametrize("report", REPORTED)
def test_a_vote_of_the_service_keeps_right_and_wrong_apart(http: httpx.Client, report: str) -> None:
    _, right, wrong = REPORTED[report]
    body = {"problem": "How many?", "candidates": [*right, *wrong], "vote": "majority"}
    reply = http.post("/rerank", json=body)
    assert reply.status_code == 200, reply.text
    groups = [sorted(group["members"]) for group in reply.json()["groups"]]
    assert list(range(len(right))) in groups, groups


def test_verify_check_finds_no_error_in_the_reports(tmp_path: Path) -> None:
    rows = [
        {"answer": answer, "candidates": [*right, *wrong], "correct": [True] * len(right) + [False] * len(wrong)}
        for answer, right, wrong in REPORTED.values()
    ]
    result = invoke("verify-check", write(tmp_path / "in.jsonl", rows), "--verifier", "math")
    assert result.exit_code == 0, result.output
    judged = [each for row in read(tmp_path / "in.verified.jsonl") for each in row["judged"]]
    assert [each for each in judged if each["correct"] != (each["outcome"] == "right")] == []
