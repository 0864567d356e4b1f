"""How commands speak: results on standard output, everything else on standard error, errors with what to do next."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from stepscore.errors import StepscoreError

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)

ROWS_FAILED = 1
UNUSABLE = 2
ENGINE_FAILED = 3
INTERRUPTED = 130


def stop(message: str, code: int = UNUSABLE) -> NoReturn:
    """Say what is wrong and end with `code`."""
    ERR.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(code)


def stop_with(error: StepscoreError, code: int = UNUSABLE) -> NoReturn:
    stop(f"{error.message} ({error.code})", code)


def note(message: str) -> None:
    ERR.print(escape(message), soft_wrap=True)
