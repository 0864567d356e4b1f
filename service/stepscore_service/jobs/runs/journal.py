"""JSONL out, one line for each row in, that survives being killed: rows are written whole, in order, and synced.

Beside the file `X.jsonl` stands `X.jsonl.run.json`: which input, model and settings its rows come from. A second run
continues after the last whole row if all of that is the same, and refuses to mix if it is not.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from stepscore_service.jobs.runs.console import note, stop

Manifest = Mapping[str, str | float | int | None]


class Journal(Protocol):
    """Where results go. done: rows that an earlier run has written."""

    done: int

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None: ...

    def close(self) -> None: ...


class StdoutJournal:
    """Results to standard output; nothing to resume."""

    done = 0

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        sys.stdout.write("".join(map(_line, rows)))
        sys.stdout.flush()

    def close(self) -> None: ...


class FileJournal:
    """Results to a file that one run at a time may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            stop(f"another run is writing {path}. Wait for it, or give another --out.")
        self.done = self._whole_rows()

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the rows and wait until they are on disk. Ends the command where there is no room for them."""
        left = memoryview("".join(map(_line, rows)).encode())
        try:
            while left:  # past the file's buffer, which would try again when it is closed
                left = left[os.write(self._file.fileno(), left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            stop(
                f"cannot write {self.path}: {error.strerror}. Make room; the same command continues after its last row."
            )

    def close(self) -> None:
        self._file.close()

    def _whole_rows(self) -> int:
        """Count the lines; a last line without its end was torn when a run was killed and is cut off."""
        self._file.seek(0)
        count = whole = 0
        for line in self._file:
            if line.endswith(b"\n"):
                count, whole = count + 1, whole + len(line)
        if self._file.tell() != whole:
            note(f"{self.path}: cut off a torn last line; its row is computed again.")
            self._file.truncate(whole)
        self._file.seek(whole)
        return count


def manifest_path(out: Path) -> Path:
    return out.with_name(out.name + ".run.json")


def open_journal(out: Path, manifest: Manifest) -> FileJournal:
    """Open `out` to continue or to begin. Ends the command where its rows come from something else."""
    if not out.parent.is_dir():
        stop(f"there is no folder {out.parent}. Make it, or give another --out.")
    beside = manifest_path(out)
    started = out.exists() and out.stat().st_size > 0
    if started and not beside.exists():
        stop(f"{out} exists and {beside.name}, which says where its rows come from, does not. Give another --out.")
    if started:
        _refuse_another(out, json.loads(beside.read_text()), manifest)
    journal = FileJournal(out)
    if not started:
        _write(beside, json.dumps(manifest, indent=1) + "\n")
    return journal


def read_rows(out: Path) -> Iterator[dict[str, Any]]:
    with out.open("rb") as file:
        for line in file:
            yield json.loads(line)


def _refuse_another(out: Path, before: Manifest, now: Manifest) -> None:
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        said = "; ".join(f"{key} was {before.get(key)!r} and is {now.get(key)!r}" for key in changed)
        stop(
            f"{out} holds rows of another run: {said}. Give another --out, or remove it and {manifest_path(out).name}."
        )


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    beside.replace(path)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
