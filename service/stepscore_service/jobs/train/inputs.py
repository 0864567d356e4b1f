"""Labelled solutions out of files and folders of shards, row by row, with what is wrong named by its line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from stepscore.errors import InvalidInput
from stepscore_service.jobs.data.formats.base import Format, ParseOptions
from stepscore_service.jobs.data.formats.registry import AUTO, format_named, format_of
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.runs.source import Line, Source, open_source

SHARDS = "labels-*.jsonl"


@dataclass(slots=True)
class TrainInputs:
    """format: a name, or "auto" (each file's first row decides). skip_bad: so many unusable rows are passed over.

    bad: what was wrong with them, filled while rows are read.
    """

    files: Sequence[Source]
    format: str = AUTO
    reading: ParseOptions = field(default_factory=ParseOptions)
    skip_bad: int = 0
    bad: list[str] = field(default_factory=list)

    def solutions(self) -> Iterator[Labelled]:
        """Raises InvalidInput, naming file, line, column and reason, at the first bad row that is one too many."""
        self.bad.clear()
        return chain.from_iterable(map(self._of_file, self.files))

    def check_first_rows(self) -> None:
        """Read one solution of every file, before a model is open. Raises InvalidInput as `solutions` does."""
        self.bad.clear()
        for file in self.files:
            next(self._of_file(file), None)

    def _of_file(self, file: Source) -> Iterator[Labelled]:
        known = None if self.format == AUTO else format_named(self.format)
        for line in file.lines():
            try:
                known = known or format_of(line.row())
                found = self._of_line(known, line)
            except InvalidInput as error:
                where = file.path if error.message.startswith("line ") else _where(file, line, error)
                self._pass_over(InvalidInput(f"{where}: {error.message}", **error.detail))
                continue
            yield from found

    def _of_line(self, known: Format, line: Line) -> list[Labelled]:
        """All at once, so that a row is used whole or not at all."""
        return list(known.solutions(line.row(), self.reading))

    def _pass_over(self, error: InvalidInput) -> None:
        if len(self.bad) >= self.skip_bad:
            raise error
        self.bad.append(error.message)


def open_inputs(paths: Sequence[Path], columns: str = "") -> tuple[Source, ...]:
    """Files, and folders as the shards in them. Ends the command if one cannot be read or holds nothing."""
    return tuple(open_source(str(file), columns=columns) for path in paths for file in _files(path))


def _files(path: Path) -> list[Path]:
    """Raises InvalidInput for a folder without shards."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob(SHARDS))
    if not found:
        raise InvalidInput(f"{path} holds no {SHARDS}; give a file, or a folder that `stepscore label` wrote")
    return found


def _where(file: Source, line: Line, error: InvalidInput) -> str:
    column = error.detail.get("field")
    return f"{file.path}, line {line.number}" + (f", column {column}" if column else "")
