"""Best-of-N, beam search and DVTS select what search-and-learn's own code selects over the same policy and PRM.

The selections come from huggingface/search-and-learn@6f81cac (tests/authors/search_and_learn.py runs it).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search_case import searcher
from search_stubs import TextPolicy, TextPrm
from stepscore.search.searcher import SearchProblem

GOLDEN = Path(__file__).parents[2] / "golden" / "authors" / "search_and_learn.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['method']} {case['options']}")
def test_the_same_solution_is_selected_for_every_problem(case: dict):
    problems = [SearchProblem(str(number), f"problem {number}") for number in range(len(case["selected"]))]
    search = searcher(
        TextPolicy(), TextPrm(), case["method"], final_aggregate="last", choice="score", **case["options"]
    )
    found = {result.problem.key: result.text for result in search.run(problems)}
    assert [found[problem.key] for problem in problems] == case["selected"]
