"""How commands speak: results on standard output, everything else on standard error, errors with what to do next."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from stepscore.errors import StepscoreError

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)

ROWS_FAILED = 1
UNUSABLE = 2
ENGINE_FAILED = 3
INTERRUPTED = 130


def fail(message: str, code: int = UNUSABLE) -> NoReturn:
    """Print what is wrong and end the command with `code`."""
    ERR.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(code)


def fail_with(error: StepscoreError, code: int = UNUSABLE) -> NoReturn:
    fail(f"{error.message} ({error.code})", code)


def info(message: str) -> None:
    ERR.print(escape(message), soft_wrap=True)


def one_line(text: str, beside: int) -> Text:
    """The beginning of a text, which fits into one line of a table. beside: characters that its other columns take."""
    found = Text(" ".join(text.split()))
    found.truncate(max(ERR.width - beside, 10), overflow="ellipsis")
    return found
