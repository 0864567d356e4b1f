"""A judge's Python in sandbox, and by a command for which a plain interpreter stands in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stepscore.errors import GeneratorError, InvalidOption
from stepscore.sandbox.judge_code import TIMED_OUT, CommandSandbox, LocalSandbox, open_sandbox
from stepscore.sandbox.sandbox import Limits

PYTHON = f"{sys.executable} -I -"
ERROR = "Code execute Error: "


@pytest.fixture(scope="module")
def local(sandbox_available: None) -> LocalSandbox:
    return LocalSandbox(Limits(cpu_seconds=2, wall_seconds=60))


BLOCKS = pytest.mark.parametrize(
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


@BLOCKS
def test_the_last_block_prints_in_the_sandbox(local: LocalSandbox, blocks: list[str], printed: str) -> None:
    assert local.run(blocks) == printed


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 80))", "PermissionError"),
        ("import urllib.request; urllib.request.urlopen('http://127.0.0.1')", "Operation not permitted"),
        ("import os\nwhile True: os.fork()", "PermissionError"),
        ("import subprocess; subprocess.run(['/bin/ls'])", "PermissionError"),
        ("open('/etc/passwd').read()", "PermissionError"),
        ("open('../elsewhere', 'w').write('x')", "PermissionError"),
        ("import os; os.kill(os.getppid(), 9)", "PermissionError"),
        ("bytearray(10 << 30)", "MemoryError"),
        ("open('big', 'wb').write(bytes(1 << 28))", "File too large"),
        ("import os; os._exit(7)", "it ended with 7"),
        ("import os; os.abort()", "a signal ended it"),
    ],
)
def test_harm_is_what_the_judge_is_shown(local: LocalSandbox, program: str, says: str) -> None:
    shown = local.run([program])
    assert shown.startswith(ERROR)
    assert says in shown


def test_nothing_is_written_outside_the_folder(local: LocalSandbox, tmp_path: Path) -> None:
    assert "PermissionError" in local.run([f"open({str(tmp_path / 'x')!r}, 'w')"])
    assert local.run(["open('x', 'w').write('kept')\nprint(open('x').read())"]) == "kept"
    assert "FileNotFoundError" in local.run(["open('x')"])
    assert list(tmp_path.iterdir()) == []


def test_an_endless_loop_is_ended_by_its_processor_time(local: LocalSandbox) -> None:
    assert local.run(["while True: pass"]) == TIMED_OUT


def test_packages_that_judges_use_are_there(sandbox_available: None) -> None:
    assert LocalSandbox(Limits(wall_seconds=200)).run(["from sympy import sqrt\nprint(sqrt(8))"]) == "2*sqrt(2)"


def test_a_sandbox_is_chosen_by_its_name(sandbox_available: None) -> None:
    assert isinstance(open_sandbox("confined"), LocalSandbox)
    assert isinstance(open_sandbox("confined:weak"), LocalSandbox)
    assert isinstance(open_sandbox(PYTHON), CommandSandbox)


@BLOCKS
def test_the_last_block_prints(blocks: list[str], printed: str) -> None:
    assert CommandSandbox(PYTHON, seconds=60).run(blocks) == printed


def test_a_program_that_never_ends_is_ended() -> None:
    assert CommandSandbox(PYTHON, seconds=0.5).run(["while True: pass"]) == TIMED_OUT


@pytest.mark.parametrize("command", ["/no/such/sandbox", f"{sys.executable} -c 'raise SystemExit(2)'"])
def test_a_sandbox_that_fails_is_an_error(command: str) -> None:
    with pytest.raises(GeneratorError) as caught:
        CommandSandbox(command, seconds=60).run(["print(1)"])
    assert caught.value.detail["reason"] == "sandbox"


def test_what_a_command_prints_may_be_no_utf_8() -> None:
    assert CommandSandbox("printf '7 \\377'", seconds=60).run(["print(7)"]) == "7 \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("command", [" ", "bwrap 'oops"])
def test_what_is_no_command_is_refused(command: str) -> None:
    with pytest.raises(InvalidOption):
        CommandSandbox(command)
