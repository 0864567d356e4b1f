"""JSONL out, one line for each row in, that survives being killed: rows are written whole, in order, and synced.

Beside the file `X.jsonl` is `X.jsonl.run.json`: which input, model and settings its rows come from, and how many rows
with which digest were written. A second run continues after the last whole row if all of that is the same, and refuses
to mix rows, or to continue rows that somebody has edited.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.lock import lock_file
from stepscore_service.jobs.runs.manifest import Manifest, differences, read_manifest, write_manifest
from stepscore_service.jobs.runs.source import JsonRow

WRITTEN = "written"
"""The entry of X.jsonl.run.json that says which rows were written."""
ANOTHER = "Give another --out."
RECORD_SECONDS = 5.0
"""Between two records of what was written; rows after the last record are only checked for being rows."""


class Journal(Protocol):
    """Where results go. done: rows that an earlier run has written."""

    done: int

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None: ...

    def close(self) -> None: ...


class StdoutJournal:
    """Results to standard output; nothing to resume."""

    done = 0

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        sys.stdout.buffer.write(b"".join(map(json_line, rows)))  # UTF-8, whatever the terminal's encoding
        sys.stdout.buffer.flush()

    def close(self) -> None: ...


class FileJournal:
    """Results to a file that one run at a time may write."""

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        recorded: Mapping[str, Any],
        numbers: Iterable[int] = (),
        asked: str = "",
    ) -> None:
        """recorded: the rows and their digest, as the last run wrote them down. numbers: of the input's lines.

        asked: a digest of what the command was asked for, which `is_finished` compares.
        Ends the command if another run is writing the file, or if it was edited.
        """
        self.path, self._manifest, self._asked = path, manifest, asked
        self._file = path.open("a+b")
        try:
            lock_file(self._file)
        except BlockingIOError:
            console.fail(f"another run is writing {path}. Wait for it, or give another --out.")
        self._digest = hashlib.sha256()
        self.done = self._rows = self._check_rows(recorded, numbers)
        self._recorded_at = time.monotonic()
        self._record()

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the rows and wait until they are on disk. Ends the command if there is no room for them."""
        lines = list(map(json_line, rows))
        left = memoryview(b"".join(lines))
        self._digest.update(left)
        try:
            while left:  # past the file's buffer, which would try again when it is closed
                left = left[os.write(self._file.fileno(), left) :]
            os.fsync(self._file.fileno())
            self._rows += len(lines)
            if time.monotonic() - self._recorded_at > RECORD_SECONDS:
                self._record()
        except OSError as error:
            self._recorded_at = float("inf")
            console.fail(
                f"cannot write {self.path}: {error.strerror}. Make room; the same command continues after its last row."
            )

    def close(self) -> None:
        if self._recorded_at < float("inf"):
            self._record()
        self._file.close()

    def _record(self) -> None:
        written = {"rows": self._rows, "sha256": self._digest.hexdigest(), "asked": self._asked}
        write_manifest(manifest_path(self.path), {**self._manifest, WRITTEN: written})
        self._recorded_at = time.monotonic()

    def _check_rows(self, recorded: Manifest, numbers: Iterable[int]) -> int:
        """How many whole rows there are. A last line without its end was torn when a run was killed and is cut off."""
        self._file.seek(0)
        expected = iter(numbers)
        count = whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            count, whole = count + 1, whole + len(line)
            self._check_row(count, line, next(expected, None))
            self._digest.update(line)
            if count == recorded.get("rows") and self._digest.hexdigest() != recorded["sha256"]:
                self._fail_edited(f"its first {count} rows are not the ones that were written")
        if os.fstat(self._file.fileno()).st_size != whole:
            console.info(f"{self.path}: cut off a torn last line; its row is computed again.")
            self._file.truncate(whole)
        if count < recorded.get("rows", 0):
            missing = recorded["rows"] - count
            console.info(
                f"{self.path}: the last {missing} rows that were written are missing; they are computed again."
            )
        self._file.seek(whole)
        return count

    def _check_row(self, place: int, line: bytes, number: int | None) -> None:
        if not line.strip():
            self._fail_edited(f"line {place} is blank")
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            self._fail_edited(f"line {place} is not a JSON object")
        if number is not None and row.get("line") not in (number, None):
            self._fail_edited(f"line {place} is the result of line {row['line']} of the input, not of line {number}")

    def _fail_edited(self, what: str) -> None:
        self._file.close()
        console.fail(
            f"{self.path} was edited: {what}. Restore it, give another --out, or remove it and "
            f"{manifest_path(self.path).name}."
        )


def manifest_path(out: Path) -> Path:
    return out.with_name(out.name + ".run.json")


def is_finished(out: Path, asked: str, rows: int | None) -> bool:
    """Whether an earlier run was asked for the very same and wrote all the rows, which nobody has edited since."""
    try:
        recorded = read_manifest(manifest_path(out)).get(WRITTEN, {})
        if not asked or (recorded.get("asked"), recorded.get("rows")) != (asked, rows):
            return False
        with out.open("rb") as file:
            return bool(hashlib.file_digest(file, "sha256").hexdigest() == recorded.get("sha256"))
    except (OSError, InvalidInput):
        return False


def refuse_unwritable(out: Path) -> None:
    """Ends the command if it can be seen that no file can be written at `out`."""
    if not out.parent.is_dir():
        console.fail(f"there is no folder {out.parent}. Make it, or give another --out.")
    if out.exists() and not out.is_file():
        console.fail(f"{out} is {'a folder' if out.is_dir() else 'a device or a pipe'}, not a file. {ANOTHER}")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        console.fail(f"cannot write {out}: it is read-only for you. {ANOTHER}")


def refuse_other_run(out: Path, known: Manifest) -> None:
    """Ends the command if there are results in `out` whose manifest has another value for an entry of `known`."""
    try:
        before = read_manifest(manifest_path(out))
        started = out.stat().st_size > 0
    except (OSError, InvalidInput):
        return  # whoever opens the journal says what is wrong with it
    if started and (changed := differences({name: before.get(name) for name in known}, known)):
        console.fail(_other_run(out, changed))


def open_journal(out: Path, manifest: Manifest, numbers: Iterable[int] = (), asked: str = "") -> FileJournal:
    """Open `out` to continue or to begin. numbers: of the input's lines, which the rows that are done must have.

    Ends the command if its rows come from something else, or were edited.
    """
    refuse_unwritable(out)
    beside = manifest_path(out)
    started = out.exists() and out.stat().st_size > 0
    if started and not beside.exists():
        console.fail(
            f"{out} exists and {beside.name}, which says where its rows come from, does not. Give another --out."
        )
    try:
        recorded = _recorded_manifest(out, read_manifest(beside), manifest) if started else {}
        return FileJournal(out, manifest, recorded, numbers, asked)
    except InvalidInput as error:
        console.fail(error.message)
    except OSError as error:
        console.fail(f"cannot write {out}: {error.strerror}. Give another --out.")


def read_rows(out: Path) -> Iterator[JsonRow]:
    with out.open("rb") as file:
        for line in file:
            yield json.loads(line)


def json_line(row: Mapping[str, Any]) -> bytes:
    """One line of UTF-8. Half a surrogate pair, which JSON may hold and UTF-8 may not, is written as its escape."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"


def _recorded_manifest(out: Path, before: dict[str, Any], now: Manifest) -> Manifest:
    recorded: Manifest = before.pop(WRITTEN, {})
    if changed := differences(before, now):
        raise InvalidInput(_other_run(out, changed))
    return recorded


def _other_run(out: Path, changed: Iterable[str]) -> str:
    return (
        f"{out} holds rows of another run: {'; '.join(changed)}. Give another --out, or remove it and "
        f"{manifest_path(out).name}."
    )
