r"""The column `answer` from end to end: candidates in `rerank` and `evaluate`, and as groups of /rerank."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli_case import invoke, read, write
from service_case import connect, live, torch_scorer

CASES: dict[str, tuple[list[str], list[str]]] = {
    r"\frac{1}{2}": (
        [r"\boxed{\frac{1}{2}}", "The answer is 0.5.", "So 50%.\nAnswer: 1/2", r"The answer is $\dfrac12$."],
        [r"\boxed{2}", "The answer is 1.", r"\boxed{\frac{2}{1}}", "The answer is 12."],
    ),
    "3x+2": (
        [r"\boxed{2+3x}", "The answer is $3x + 2$.", r"\boxed{3(x+1)-1}"],
        [r"\boxed{2}", "The answer is 3.", r"\boxed{3x-2}", r"\boxed{3y+2}"],
    ),
    "(3, 4)": (
        [r"\boxed{(3,4)}", r"The answer is $\left(3, 4\right)$.", "The answer is (3, 4)."],
        [r"\boxed{4}", "The answer is (4, 3).", r"\boxed{[3, 4]}", "The answer is (3, 5)."],
    ),
    "[2, 5)": (
        [r"\boxed{[2,5)}", r"\boxed{2 \le x < 5}", "The answer is [2, 5)."],
        [r"\boxed{5}", r"\boxed{(2,5)}", "The answer is [2, 5].", r"\boxed{2 \le x \le 5}"],
    ),
    r"12\pi": (
        [r"\boxed{12\pi}", "The answer is 12π.", r"\boxed{4 \cdot 3\pi}"],
        [r"\boxed{12}", r"\boxed{\pi}", "The answer is 37.7.", r"\boxed{24\pi}"],
    ),
    "10^5": (
        [r"\boxed{100000}", "The answer is 100,000.", r"\boxed{10^5}", r"\boxed{1 \times 10^{5}}"],
        [r"\boxed{5}", "The answer is 10.", r"\boxed{105}", r"\boxed{10^4}"],
    ),
    "3:2": (
        [r"\boxed{3:2}", "The answer is 6:4.", "The answer is 3 to 2."],
        [r"\boxed{2}", r"\boxed{2:3}", "The answer is 3.", r"\boxed{32}"],
    ),
    "5 hours 30 minutes": (
        [r"\boxed{5.5 \text{ hours}}", "The answer is 330 minutes.", "The answer is 5 hours and 30 minutes."],
        [r"\boxed{30}", "The answer is 5 hours.", "The answer is 30 minutes.", r"\boxed{530}"],
    ),
    "#### 14": (
        [r"\boxed{14}", "3 + 11 = 14\n#### 14", "The answer is $14."],
        [r"\boxed{4}", "3 + 12 = 15\n#### 15", "The answer is 41."],
    ),
    "3 + 11 = 14\nSo she has 14.\n#### 14": ([r"\boxed{14}", "The answer is 14 eggs."], [r"\boxed{11}", "It is 3."]),
    r"Add both sides: $x = 7 + 7$, so $x = \boxed{14}$.": (
        [r"\boxed{x = 14}", "Answer: 14"],
        [r"\boxed{7}", "Answer: 2"],
    ),
    "-3": ([r"\boxed{-3}", "The answer is −3."], [r"\boxed{3}", "The answer is 3."]),
    r"\{1, 2\}": ([r"\boxed{2, 1}", "The answer is {1, 2}."], [r"\boxed{\{1, 3\}}", r"\boxed{2}", "The answer is 1."]),
    "101_2": ([r"\boxed{101_2}", "The answer is 101 base 2."], [r"\boxed{101}", r"\boxed{101_3}", r"\boxed{5}"]),
    "12": (["The answer is (B) 12.", r"\boxed{\textbf{(B)}\ 12}"], ["The answer is (B) 13.", r"\boxed{\text{(C) } 2}"]),
    "B": (["The answer is (B) 12.", "The correct option is B."], ["The answer is (C) 12.", "Answer: A"]),
}
NUMBERS: list[tuple[Any, list[str], list[str]]] = [
    (14, [r"\boxed{14}", "The answer is 14.0."], [r"\boxed{41}", "The answer is 1.4."]),
    (0.5, [r"\boxed{\frac12}", "The answer is 1/2."], [r"\boxed{5}", "The answer is 2."]),
]
ROWS = [
    {"id": number, "problem": f"Problem {number}?", "candidates": [*right, *wrong], "answer": answer}
    for number, (answer, right, wrong) in enumerate([*((a, *both) for a, both in CASES.items()), *NUMBERS])
]
RIGHT = [
    [True] * len(right) + [False] * len(wrong)
    for right, wrong in [*CASES.values(), *((right, wrong) for _, right, wrong in NUMBERS)]
]


@pytest.fixture
def model(folder: Path) -> list[str]:
    return ["--model", f"tiny={folder}", "--dtype", "float32"]


def test_rerank_says_which_candidates_reach_the_answer(tmp_path: Path, model: list[str]) -> None:
    result = invoke("rerank", write(tmp_path / "in.jsonl", ROWS), *model)
    assert result.exit_code == 0, result.output
    found = {row["id"]: row["correct"] for row in read(tmp_path / "in.reranked.jsonl")}
    wrong = {ROWS[at]["answer"]: (found[at], right) for at, right in enumerate(RIGHT) if found[at] != right}
    assert not wrong


def test_evaluate_measures_best_of_n_by_the_same_answers(tmp_path: Path, model: list[str]) -> None:
    plain = [{key: value for key, value in row.items() if key != "answer"} for row in ROWS]
    labelled = [row | {"correct": right} for row, right in zip(plain, RIGHT, strict=True)]
    for name, rows in (("by_answer", ROWS), ("by_label", labelled)):
        source = write(tmp_path / "bon.jsonl", rows)
        result = invoke("evaluate", "--best-of-n", source, "--out", tmp_path / name, *model)
        assert result.exit_code == 0, result.output
    kept = [tmp_path / name / "rows" / "best_of_n-bon.jsonl" for name in ("by_answer", "by_label")]
    assert [row["correct"] for row in read(kept[0])] == RIGHT
    assert [row["correct"] for row in read(kept[1])] == RIGHT


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[httpx.Client]:
    with live({"tiny": torch_scorer(folder, "tiny")}) as url, connect(url) as client:
        yield client


VOTES = [(str(row["answer"]), row, right) for row, right in zip(ROWS, RIGHT, strict=True) if row["answer"] != "12"]
"""Not the choices that are known by what they say: in a vote their letter counts."""


@pytest.mark.parametrize(("answer", "row", "right"), VOTES)
def test_the_service_puts_the_right_candidates_of_a_vote_apart_from_the_wrong(
    http: httpx.Client, answer: str, row: dict[str, Any], right: list[bool]
) -> None:
    body = {"problem": row["problem"], "candidates": row["candidates"], "vote": "majority"}
    reply = http.post("/rerank", json=body)
    assert reply.status_code == 200, reply.text
    groups = [group["members"] for group in reply.json()["groups"]]
    assert sorted(member for members in groups for member in members) == list(range(len(right)))
    assert all(len({right[member] for member in members}) == 1 for members in groups), (answer, groups)
    assert sum(right[members[0]] for members in groups) == 1, (answer, groups)
