"""JSONL in: rows with their line numbers, and what is wrong with a row that cannot be used."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs.console import note, stop

STDIN = "-"
LONGEST_LINE = 64 << 20
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank. number: 1-based, as an editor counts."""

    number: int
    content: bytes

    def row(self) -> Row:
        """The JSON object on the line. Raises InvalidInput with the line number and what stands there instead."""
        try:
            row = json.loads(self.content, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"line {self.number} is no JSON: {error}", line=self.number) from error
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise InvalidInput(f"line {self.number} is a JSON {kind}, not an object", line=self.number)
        return row


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from. total, digest: known for files only."""

    path: str
    total: int | None
    digest: str | None

    def lines(self) -> Iterator[Line]:
        if self.path == STDIN:
            yield from _lines(sys.stdin.buffer)
            return
        with Path(self.path).open("rb") as file:
            yield from _lines(file)


def open_source(path: str) -> Source:
    """Look at the input once: how many rows it has and what it is. Ends the command where it cannot be read."""
    if path == STDIN:
        return Source(path, None, None)
    digest, total = hashlib.sha256(), 0
    try:
        with Path(path).open("rb") as file:
            for line in file:
                digest.update(line)
                total += bool(line.strip())
    except OSError as error:
        stop(f"cannot read {path}: {error.strerror}. Give a JSONL file, or - for standard input.")
    if not total:
        note(f"{path} holds no rows.")
    return Source(path, total, digest.hexdigest())


def check_first(source: Source, check: Callable[[Row], object], shape: str) -> None:
    """End the command before a model is loaded if the very first row of a file cannot be used."""
    if source.path == STDIN:
        return
    for line in source.lines():
        try:
            check(line.row())
        except InvalidInput as error:
            reason = error.message if str(line.number) in error.message else f"line {line.number}: {error.message}"
            stop(f"{source.path}, {reason}. Each line is {shape}; see docs/formats.md.")
        return


def text_field(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        have = ", ".join(row) or "none"
        wrong = f"{name!r} is a {type(value).__name__}, not text" if name in row else f"{name!r} is missing"
        raise InvalidInput(f"{wrong} (columns: {have})", field=name)
    return value


def _lines(file: BinaryIO) -> Iterator[Line]:
    for number, content in enumerate(file, start=1):
        if len(content) > LONGEST_LINE:
            stop(f"line {number} is longer than {LONGEST_LINE >> 20} MiB; is this a JSONL file?")
        if content.strip():
            yield Line(number, content)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not allowed")
