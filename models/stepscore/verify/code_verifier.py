"""The code verifier: the program in a solution against unit tests, in sandbox.

A program that its tests refuse, that ends before they do, or that needs more processor time or memory than it is given
is wrong. One that holds no program, or is stopped by the clock on the wall (a busy machine, or one that waits), is
unreadable. The tests run in the program's own process: one that goes looking for the checker's secret can pass
without solving anything, so read what a policy writes that was trained against this verifier.
"""

from __future__ import annotations

import ast
import json
import os
import re
import secrets
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from stepscore.errors import InvalidInput
from stepscore.sandbox.sandbox import DEFAULT, Ended, Limits, Sandbox, interpreter
from stepscore.verify.verifier import Truth, Verified

_FENCED = re.compile(r"^[ \t]*```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
_RUNNER = Path(__file__).with_name("code_runner.py").read_text(encoding="utf-8")
_STOPPED = {
    "cpu": ("wrong", "it used up its processor time"),
    "wall": ("unreadable", "it was still running when its time was over"),
    "disk": ("wrong", "it wrote more than it may"),
    "killed": ("wrong", "a signal ended it"),
}


class CodeVerifier:
    """Runs the tests of a Truth on the Python of each solution: standard library, one process, one thread, no network.

    Safe from any thread.
    """

    name = "code"

    def __init__(self, limits: Limits = DEFAULT, weak: bool = False) -> None:
        """weak: run even if the kernel cannot take away network and files. Raises SandboxUnavailable."""
        self.sandbox = Sandbox(limits, interpreter(), weak)

    def verify(self, solutions: Sequence[str], truth: Truth) -> list[Verified]:
        """Raises InvalidInput if the truth has no tests, or they are not Python."""
        if not truth.tests.strip():
            raise InvalidInput('the truth has no "tests", which this verifier runs', field="tests")
        try:
            ast.parse(truth.tests)
        except SyntaxError as error:
            raise InvalidInput(f'"tests" is not Python: {error}', field="tests") from error
        with ThreadPoolExecutor(min(len(solutions) or 1, os.cpu_count() or 1)) as pool:
            return list(pool.map(partial(self._verify_one, truth), solutions))

    def _verify_one(self, truth: Truth, solution: str) -> Verified:
        program = program_of(solution, truth.entry_point)
        if program is None:
            return Verified("unreadable", None, "it holds no program")
        secret = secrets.token_hex(16)
        order = {"program": program, "tests": truth.tests, "entry_point": truth.entry_point, "secret": secret}
        command = [sys.executable, "-I", "-S", "check.py"]
        return _judge(self.sandbox.run(command, {"check.py": _RUNNER}, json.dumps(order)), program, secret)


def program_of(solution: str, entry_point: str = "") -> str | None:
    """The program in a text: the last fenced block (that defines `entry_point`, if one does), else a text that is one.

    None if there is neither.
    """
    blocks = [match[1] for match in _FENCED.finditer(solution)]
    defining = [block for block in blocks if entry_point and re.search(rf"\bdef\s+{re.escape(entry_point)}\b", block)]
    if blocks:
        return (defining or blocks)[-1]
    try:
        return solution if any(not isinstance(part, ast.Expr) for part in ast.parse(solution).body) else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _judge(ended: Ended, program: str, secret: str) -> Verified:
    if ended.end in _STOPPED:
        outcome, reason = _STOPPED[ended.end]
        return Verified("unreadable" if outcome == "unreadable" else "wrong", program, reason)
    *_, last = ended.out.splitlines() or [""]
    said, _, reason = last.partition(" ")
    if said != secret:
        return Verified("wrong", program, "it ended before its tests did")
    return Verified("wrong", program, reason) if reason else Verified("right", program)
