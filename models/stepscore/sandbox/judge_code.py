"""Running Python that a judge wrote: in this project's own sandbox, or by a command that the operator trusts.

`confined` runs it with this interpreter and its packages under seccomp, Landlock and resource limits, as the code
verifier runs programs (`stepscore.sandbox`): no network, no second process or thread, no files but those of the
interpreter and an empty folder that is removed, 5 s of processor time, 1 GiB of memory. `confined:weak` continues if
the kernel lacks one of these means. A command is started as it is and must itself take away what it should.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import Protocol

from stepscore.errors import GeneratorError, InvalidOption
from stepscore.sandbox.sandbox import DEFAULT, Ended, Limits, Sandbox, interpreter

SECONDS = 5.0
TIMED_OUT = "Code execute time out: Code execution timed out"

_PROGRAM = """\
import contextlib, io, json
*earlier, last = json.loads({blocks!r})
names = {{}}
for block in earlier:
    with contextlib.suppress(BaseException), contextlib.redirect_stdout(io.StringIO()):
        exec(block, names)
shown = io.StringIO()
try:
    with contextlib.redirect_stdout(shown):
        exec(last, names)
    print(shown.getvalue().strip())
except BaseException as error:
    print(f"Code execute Error: {{type(error).__name__}}: {{error}}")
"""


class JudgeSandbox(Protocol):
    """Runs programs that nobody has read."""

    def run(self, blocks: Sequence[str]) -> str:
        """What the last block prints, or its error, after the earlier ones ran silently in the same namespace.

        Raises GeneratorError if the sandbox itself fails; what a program does to itself is what it prints.
        """
        ...


def open_sandbox(name: str) -> JudgeSandbox:
    """`confined`, `confined:weak`, or a command. Raises SandboxUnavailable, InvalidOption."""
    if name in ("confined", "confined:weak"):
        return LocalSandbox(weak=name.endswith(":weak"))
    return CommandSandbox(name)


class LocalSandbox:
    """This interpreter, with the packages of its environment, in sandbox. Safe from any thread."""

    def __init__(self, limits: Limits = DEFAULT, weak: bool = False) -> None:
        """weak: run even if the kernel cannot take away network and files. Raises SandboxUnavailable."""
        self.sandbox = Sandbox(limits, interpreter(), weak)

    def run(self, blocks: Sequence[str]) -> str:
        program = _PROGRAM.format(blocks=json.dumps(list(blocks)))
        return _output_of(self.sandbox.run([sys.executable, "-I", "main.py"], {"main.py": program}))


_STOPPED = {"disk": "it wrote more than it may", "killed": "a signal ended it"}


def _output_of(ended: Ended) -> str:
    if ended.end in ("cpu", "wall"):
        return TIMED_OUT
    if ended.end == "exited" and ended.status == 0:
        return ended.out.strip()
    *_, last = ended.error.strip().splitlines() or [f"it ended with {ended.status}"]
    return f"Code execute Error: {_STOPPED.get(ended.end, last)}"


class CommandSandbox:
    """A command that reads a Python program from its standard input, for example `bwrap … python3 -I -`.

    Nothing else holds the program: the command must take away network, files and memory.
    """

    def __init__(self, command: str, seconds: float = SECONDS) -> None:
        """Raises InvalidOption if the text is not a command."""
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            raise InvalidOption(f"sandbox={command!r}: {error}", option="sandbox", known=[]) from error
        if not self._command:
            raise InvalidOption("sandbox is blank; leave it empty or name a command", option="sandbox", known=[])
        self._seconds = seconds

    def run(self, blocks: Sequence[str]) -> str:
        """A program that does not end in time is its own fault; one whose status is not 0 is the command's."""
        program = _PROGRAM.format(blocks=json.dumps(list(blocks)))
        try:
            done = subprocess.run(
                self._command,
                input=program,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return TIMED_OUT
        except OSError as error:
            raise GeneratorError(
                f"the sandbox {self._command[0]} cannot be started: {error}", reason="sandbox"
            ) from error
        if done.returncode != 0:
            raise GeneratorError(f"the sandbox ended with {done.returncode}: {done.stderr[-500:]}", reason="sandbox")
        return done.stdout.strip()
