"""Files and folders that appear whole or not at all: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PART = ".part"


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to fill. It becomes `path` when the block ends without an error; otherwise nothing remains of it.

    Raises OSError.
    """
    part = _part_of(path)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Raises OSError."""
    with atomic_file(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """UTF-8. Raises OSError."""
    write_bytes(path, text.encode())


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill. It becomes `path`, which must not exist, when the block ends without an error.

    After an error the part stays for the caller to remove; the next attempt starts with an empty one. Raises OSError.
    """
    part = _empty(_part_of(path))
    yield part
    for file in part.rglob("*"):
        _sync(file)
    part.rename(path)
    _sync(path.parent)


@contextmanager
def files_into(folder: Path, last: str) -> Iterator[Path]:
    """A folder to fill, whose files then move into `folder` one by one, `last` at the end: with it, all are there.

    Raises OSError.
    """
    part = _empty(folder / PART)
    yield part
    for file in sorted(part.iterdir(), key=lambda file: file.name == last):
        _sync(file)
        file.replace(folder / file.name)
    part.rmdir()
    _sync(folder)


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _sync(path: Path) -> None:
    """A file's content, or a folder's names, so that they survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
