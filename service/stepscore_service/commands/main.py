"""The program `stepscore`. It starts in a base installation too, to say which extra it needs."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import requires
from itertools import pairwise
from typing import NoReturn

LOG_FORMAT = "--log-format"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Of a file, or of standard output that goes to one."""

INTERRUPTED = 130
DISTRIBUTIONS = {"opentelemetry": "opentelemetry-sdk"}
"""Of modules that are called otherwise than what brings them."""
_REQUIREMENT = re.compile(r"([\w.-]+).*extra == ['\"](\w+)['\"]")


def main() -> None:
    """Run the command line. Without a package that the command needs, name the extra that brings it; status 2.

    When there is no room for what it writes, it says so; status 2. Ctrl-C while it starts or ends leaves no traceback.
    """
    json_lines = wants_json(sys.argv[1:])
    try:
        from stepscore_service.commands.cli import app
        from stepscore_service.jobs.runs.console import survive_any_text

        survive_any_text()
        run_in_json(app) if json_lines else app()
    except KeyboardInterrupt:  # a command that has begun answers it itself
        sys.exit(INTERRUPTED)
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "", requires("stepscore") or ())
        if extra is None:
            raise
        _end_with(missing_message(error.name or "", extra), json_lines)
    except OSError as error:
        if error.errno not in (*NO_ROOM, errno.EPIPE):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what Python still holds for it would fail again at the end
        if error.errno == errno.EPIPE:  # whoever read it has left, such as `head`
            sys.exit(1)
        _end_with(f"error: cannot write {error.filename or 'standard output'}: {error.strerror}.", json_lines)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would interrupt what libraries do at the exit


def _end_with(message: str, json_lines: bool) -> NoReturn:
    line = json.dumps({"event": message, "level": "error"}) if json_lines else message
    print(line, file=getattr(sys.stderr, "behind", sys.stderr))
    sys.exit(2)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether --log-format, or its variable, asks for JSON; known before the arguments are parsed."""
    pairs = [*pairwise(arguments), *(tuple(each.split("=", 1)) for each in arguments if "=" in each)]
    chosen = [pair[1] for pair in pairs if pair[0] == LOG_FORMAT]
    return (chosen or [os.environ.get("STEPSCORE_LOG_FORMAT", "")])[-1] == "json"


def run_in_json(app: Callable[..., object]) -> NoReturn:
    """Run the command line; errors of usage and defects become log lines too."""
    from stepscore_service.jobs.runs import console

    try:
        status = app(standalone_mode=False)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (*NO_ROOM, errno.EPIPE):
            raise
        console.speak_json()
        usage = getattr(error, "format_message", None)
        if usage is None:
            console.log("exception", f"the command broke: {type(error).__name__}")
            sys.exit(1)
        console.log("error", usage(), exit_status=console.UNUSABLE)
        sys.exit(console.UNUSABLE)
    sys.exit(status if isinstance(status, int) else 0)


def extra_of(module: str, requirements: Iterable[str]) -> str | None:
    """The smallest extra that brings a module, or None. requirements: as the metadata of the distribution list them.

    An extra that includes another one lists all that the other brings.
    """
    root = module.partition(".")[0]
    wanted = DISTRIBUTIONS.get(root, root.replace("_", "-"))
    extras = defaultdict[str, set[str]](set)
    for found in filter(None, map(_REQUIREMENT.match, requirements)):
        extras[found[2]].add(found[1].lower())
    bringing = [extra for extra, brought in extras.items() if wanted in brought]
    return min(bringing, key=lambda extra: len(extras[extra]), default=None)


def missing_message(module: str, extra: str) -> str:
    return f'stepscore: this needs {module}, which is not installed: pip install "stepscore[{extra}]"'


if __name__ == "__main__":
    main()
