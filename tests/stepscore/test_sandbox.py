"""A model's Python by a command: a plain interpreter stands in for a real sandbox."""

from __future__ import annotations

import sys

import pytest

from stepscore.errors import GeneratorError, InvalidOption
from stepscore.sandbox import TIMED_OUT, CommandSandbox

PYTHON = f"{sys.executable} -I -"


@pytest.mark.parametrize(
    ("blocks", "printed"),
    [
        (["print(3 + 4)"], "7"),
        (["x = 3\nprint('not shown')", "print(x + 4)"], "7"),
        (["y = 1\nraise ValueError('lost')", "print(y)"], "1"),
        (["print('lost')\nraise ValueError('no √')"], "Code execute Error: ValueError: no √"),
        (["import sys\nsys.exit(3)"], "Code execute Error: SystemExit: 3"),
        (["print('''\"{}\"''')"], '"{}"'),
    ],
)
def test_the_last_block_prints(blocks: list[str], printed: str) -> None:
    assert CommandSandbox(PYTHON, seconds=60).run(blocks) == printed


def test_a_program_that_never_ends_is_ended() -> None:
    assert CommandSandbox(PYTHON, seconds=0.5).run(["while True: pass"]) == TIMED_OUT


@pytest.mark.parametrize("command", ["/no/such/sandbox", f"{sys.executable} -c 'raise SystemExit(2)'"])
def test_a_sandbox_that_fails_is_an_error(command: str) -> None:
    with pytest.raises(GeneratorError) as caught:
        CommandSandbox(command, seconds=60).run(["print(1)"])
    assert caught.value.detail["reason"] == "sandbox"


@pytest.mark.parametrize("command", [" ", "bwrap 'oops"])
def test_what_is_no_command_is_refused(command: str) -> None:
    with pytest.raises(InvalidOption):
        CommandSandbox(command)
