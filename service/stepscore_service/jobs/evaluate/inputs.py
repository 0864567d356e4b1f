"""Labelled data as it is published: JSONL, or one JSON array. Read row by row, whatever its size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.rows import Line, Source
from stepscore_service.jobs.runs.console import stop

CHUNK = 1 << 20
"""Characters that are read at once."""


@dataclass(frozen=True, slots=True)
class Input(Source):
    """array: the file is one JSON array; its elements are numbered from 1. rows: how many the file holds.

    sample: take so many of them, spread evenly over the file, which may be sorted; 0 takes all.
    """

    array: bool = False
    rows: int = 0
    sample: int = 0

    def lines(self) -> Iterator[Line]:
        return (line for place, line in enumerate(self.all()) if is_sampled(place, self.sample, self.rows))

    def all(self) -> Iterator[Line]:
        if not self.array:
            yield from Source.lines(self)
            return
        with Path(self.path).open(encoding="utf-8") as file:
            for number, element in enumerate(elements(file), start=1):
                yield Line(number, element.encode())


def is_sampled(place: int, sample: int, rows: int) -> bool:
    """Whether the row at `place` (from 0) is one of `sample` among `rows`."""
    return not 0 < sample < rows or (place + 1) * sample // rows > place * sample // rows


def open_input(path: str, sample: int = 0) -> Input:
    """Look at a file once. Ends the command where it cannot be read, holds no row, or breaks off."""
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with Path(path).open(encoding="utf-8") as text:
            array = text.read(CHUNK).lstrip().startswith("[")
        rows = sum(1 for _ in Input(path, None, digest, array).all())
    except OSError as error:
        stop(f"cannot read {path}: {error.strerror}. Give a file of JSONL, or with one JSON array.")
    except (UnicodeDecodeError, InvalidInput) as error:
        stop(f"{path} is neither JSONL nor one JSON array: {error}")
    if not rows:
        stop(f"{path} holds no rows, so there is nothing to measure.")
    return Input(path, min(rows, sample or rows), digest, array, rows, sample)


def elements(file: TextIO) -> Iterator[str]:
    """The elements of a JSON array as texts, holding one chunk and one element at a time. Raises InvalidInput."""
    decoder, buffer, at = json.JSONDecoder(), file.read(CHUNK).lstrip(), 1
    while True:
        at = _past(buffer, at)
        try:
            if buffer[at] == "]":
                return
            _, end = decoder.raw_decode(buffer, at)
            if end == len(buffer):
                raise IndexError  # a number may go on in the next chunk
        except (IndexError, ValueError) as error:
            more = file.read(CHUNK)
            if not more:
                raise InvalidInput(f"the array breaks off: {error or 'no closing bracket'}") from error
            buffer, at = buffer[at:] + more, 0
            continue
        yield buffer[at:end]
        at = end


def _past(buffer: str, at: int) -> int:
    """The next place that is neither white space nor a comma."""
    while at < len(buffer) and buffer[at] in " \t\r\n,":
        at += 1
    return at
