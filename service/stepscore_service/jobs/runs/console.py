"""How commands speak: results on standard output, everything else on standard error, errors with what to do next.

With `--log-format json` every line on standard error is a JSON object, and so is a table on standard output.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepscore.errors import StepscoreError

OUT = Console(highlight=False, markup=False, emoji=False)
ERR = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""Neither reads markup or emoji codes, which the texts of users and models may hold."""

ROWS_FAILED = 1
UNUSABLE = 2
ENGINE_FAILED = 3
INTERRUPTED = 130


NAME = "stepscore"
WIDEST = 10_000
"""Characters of a line that no terminal breaks."""


class LogLines(io.TextIOBase):
    """A stream whose lines become log lines, so that nothing that is printed to it is plain.

    behind: the stream that it replaces, to which the log lines go.
    """

    def __init__(self, behind: TextIO) -> None:
        self.behind, self._line = behind, ""
        self._writer: int | None = None

    def write(self, text: str) -> int:
        if self._writer == threading.get_ident():
            return len(text)  # the log's own complaint that its line cannot be written, on a full disk say
        self._writer = threading.get_ident()
        try:
            self._write(text)
        finally:
            self._writer = None
        return len(text)

    def _write(self, text: str) -> None:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            shown = line.rstrip("\r").rpartition("\r")[2]  # of a bar its last state
            if plain := Text.from_ansi(shown).plain.rstrip():
                log("info", plain)

    def fileno(self) -> int:
        """Of the stream behind it, which programs that are started from here inherit."""
        return self.behind.fileno()


def speak_json() -> None:
    """From now on every line on standard error is a JSON object: ours, and what libraries log, warn of or print."""
    if speaks_json():
        return
    from stepscore_service.logs import configure_logs  # structlog, which people's lines do not need

    configure_logs("json", "warning")
    logging.captureWarnings(True)
    logging.getLogger(NAME).setLevel(logging.INFO)
    lines = cast(TextIO, LogLines(sys.stderr))
    ERR.file, ERR.width = lines, WIDEST
    sys.stderr = lines


def quiet_libraries() -> None:
    """No progress bars and notices of transformers between our lines. Takes seconds if it is not imported yet."""
    from stepscore_service import logs

    logs.quiet_libraries()


def speaks_json() -> bool:
    return isinstance(ERR.file, LogLines)


def fail(message: str, code: int = UNUSABLE) -> NoReturn:
    """Print what is wrong and end the command with `code`."""
    if speaks_json():
        log("error", message, exit_status=code)
    else:
        ERR.print(Text.assemble(("error:", "bold red"), " ", message), soft_wrap=True)
    raise typer.Exit(code)


def fail_with(error: StepscoreError, code: int = UNUSABLE) -> NoReturn:
    fail(f"{error.message} ({error.code})", code)


@contextmanager
def refuse_errors() -> Iterator[None]:
    """In it, a StepscoreError ends the command, which says why."""
    try:
        yield
    except StepscoreError as error:
        fail_with(error)


def info(message: str, **facts: Any) -> None:
    """facts: of the message, as JSON values for machines."""
    if speaks_json():
        log("info", message, **facts)
    else:
        ERR.print(message, soft_wrap=True)


def show(table: Table) -> None:
    """A table beside the results, for people or as one JSON object."""
    if speaks_json():
        log("info", str(table.title or "table"), rows=_rows(table))
    else:
        ERR.print(table)


def show_result(table: Table | str) -> None:
    """A table or text that is the result, for people or as one JSON object."""
    if speaks_json():
        write_json(
            {"text": table} if isinstance(table, str) else {"title": str(table.title or ""), "rows": _rows(table)}
        )
    else:
        OUT.print(table, soft_wrap=isinstance(table, str))  # lines of a text may be those of a Markdown table


def write_json(result: Any) -> None:
    """One line of JSON on standard output."""
    OUT.file.write(json.dumps(result, ensure_ascii=True) + "\n")


@contextmanager
def status(text: str) -> Iterator[None]:
    """What takes a while, shown on a terminal while it lasts."""
    if not ERR.is_terminal:
        yield
        return
    with ERR.status(Text(text)):
        yield


def with_count(number: int, one: str, many: str = "") -> str:
    """ "1 row", "2 rows". many: by default `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def one_line(text: str, beside: int) -> Text:
    """The beginning of a text, which fits into one line of a table. beside: characters that its other columns take."""
    found = Text(" ".join(text.split()))
    found.truncate(max(ERR.width - beside, 10), overflow="ellipsis")
    return found


def survive_any_text() -> None:
    """A character that the terminal's encoding lacks is written as its escape, and ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def log(level: str, message: str, **facts: Any) -> None:
    """A line of JSON on standard error. level: a method of a logger."""
    import structlog

    getattr(structlog.stdlib.get_logger(NAME), level)(message, **facts)


def _rows(table: Table) -> list[dict[str, str]]:
    """The cells by the names of their columns; a column without a name goes by its place."""
    names = [str(column.header) or str(place) for place, column in enumerate(table.columns)]
    cells = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in cells]
