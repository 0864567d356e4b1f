"""Samples of a policy: those that ended, each once, labelled by whether they reach the worked answer."""

from __future__ import annotations

from pathlib import Path

import torch

from checkpoints_causal import causal
from recipes.embedded.gsm8k import Worked, parse_step
from recipes.embedded.sample import Policy, Sampling, labelled

WORKED = Worked("Three apples and four. How many?", (parse_step("3 + 4 = <<3+4=7>>7 apples"),), "7")


def test_each_text_is_a_row_once_with_its_outcome() -> None:
    rows = labelled(
        WORKED, ["3 + 4 = 7\nThe answer is 7", "3 + 4 = 8\n\nThe answer is 8", "3 + 4 = 7\nThe answer is 7"]
    )
    assert [(row["completions"], row["outcome"]) for row in rows] == [
        (["3 + 4 = 7", "The answer is 7"], True),
        (["3 + 4 = 8", "The answer is 8"], False),
    ]
    assert [row["labels"] for row in rows] == [[True, True], [False, False]]


def test_a_solution_that_states_no_number_is_left_out() -> None:
    assert labelled(WORKED, ["", "I do not know."]) == []


def test_each_problem_gets_its_own_ended_samples(tmp_path: Path) -> None:
    policy = Policy(causal(tmp_path, "qwen2"), torch.device("cpu"))
    sampling = Sampling(n=3, tokens=40, together=6)
    found = list(policy.solutions(["One?", "Two and a longer one?", "Three?"], sampling))
    assert len(found) == 3
    assert all(len(texts) <= 3 for texts in found)
