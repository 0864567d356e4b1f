"""The rollouts of a round, read again each time that they are gone through."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import NamedTemporaryFile

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.labelled import Labelled, of_row
from stepscore_service.jobs.runs.source import STDIN, Line, Source, open_source


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Iterating raises InvalidInput, naming the line."""

    source: Source

    def __iter__(self) -> Iterator[Labelled]:
        return map(_rollout, self.source.lines())


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """A file, or a temporary copy of standard input. Ends the command if it cannot be read."""
    if path != STDIN:
        yield open_source(path)
        return
    with NamedTemporaryFile(suffix=".jsonl") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield open_source(kept.name)


def _rollout(line: Line) -> Labelled:
    """Labels of steps are not needed: a row without them gets none."""
    row = line.row()
    steps = row.get("completions")
    labels = [None] * len(steps) if isinstance(steps, list) else []
    try:
        return of_row({"labels": labels, **row})
    except InvalidInput as error:
        raise InvalidInput(f"line {line.number}: {error.message}", line=line.number, **error.detail) from error
