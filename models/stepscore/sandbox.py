"""Running Python that a model wrote, by a command that the operator trusts to hold it."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence

from stepscore.errors import GeneratorError, InvalidOption

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


class CommandSandbox:
    """A command that reads a Python program from its standard input, for example `bwrap … python3 -I -`.

    Nothing else holds the program: the command must take away network, files and memory.
    """

    def __init__(self, command: str, seconds: float = SECONDS) -> None:
        """Raises InvalidOption where the text is no command."""
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            raise InvalidOption(f"sandbox={command!r}: {error}", option="sandbox", known=[]) from error
        if not self._command:
            raise InvalidOption("sandbox is blank; leave it empty or name a command", option="sandbox", known=[])
        self._seconds = seconds

    def run(self, blocks: Sequence[str]) -> str:
        """What the last block prints, or its error, after the earlier ones ran silently in the same namespace.

        Raises GeneratorError where the command itself fails; a program that does not end in time is its own fault.
        """
        program = _PROGRAM.format(blocks=json.dumps(list(blocks)))
        try:
            done = subprocess.run(
                self._command, input=program, capture_output=True, text=True, timeout=self._seconds, check=False
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
