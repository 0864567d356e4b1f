"""The folder of a program that nobody has read: how much it holds, and how to remove it whatever its shape.

A program can nest folders deeper than a path may be long or a function may call itself, and give them modes that hide
what they hold. So nothing here recurses, and folders that cannot be read are made readable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp


@dataclass(frozen=True, slots=True)
class FolderLimits:
    """What a folder may hold. entries: files and folders together."""

    bytes: int
    entries: int


def is_full(folder: Path, limits: FolderLimits, until: float) -> bool:
    """Whether the folder holds more than its limits, or more than can be looked at.

    Stops looking, and answers False, when the monotonic clock passes `until`. What vanishes meanwhile counts nothing.
    """
    size = entries = 0
    root = str(folder.resolve())
    folders = [root]
    while folders and time.monotonic() < until:
        found = _list_entries(folders.pop(), root)
        if found is None:
            return True
        for entry in found:
            with suppress(FileNotFoundError):
                size += entry.stat(follow_symlinks=False).st_blocks * 512
                entries += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
        if size > limits.bytes or entries > limits.entries:
            return True
    return False


def _list_entries(folder: str, root: str) -> list[os.DirEntry[str]] | None:
    """What a folder holds, readable from now on; None if it cannot be reached, as one that lies too deep."""
    try:
        with suppress(PermissionError):
            return _scan(folder)
        _make_readable(folder, root)
        return _scan(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        return None


def _make_readable(folder: str, root: str) -> None:
    """Raises FileNotFoundError outside `root`: the program may have put a link in the folder's place."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        pinned = Path(f"/proc/self/fd/{descriptor}")
        if not pinned.readlink().is_relative_to(root):
            raise FileNotFoundError(folder)
        pinned.chmod(0o700)
    finally:
        os.close(descriptor)


def _scan(folder: str) -> list[os.DirEntry[str]]:
    """A folder that may be listed but not searched answers names without facts: PermissionError."""
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found[:1]:
        with suppress(FileNotFoundError):
            entry.stat(follow_symlinks=False)
    return found


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A new folder, removed at the end with all that it holds."""
    folder = Path(mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder in which nothing works any more. What its folders hold is moved up, so that no path is long."""
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _empty(top, top, waiting := _Names())
        while name := waiting.take():
            os.chmod(name, 0o700, dir_fd=top)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            try:
                _empty(inner, top, waiting)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


class _Names:
    """Names for the folders that wait at the top; none that a program could have given."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._prefix = os.urandom(16).hex()
        self._count = 0

    def add(self) -> str:
        self._count += 1
        self._waiting.append(f"{self._prefix}-{self._count}")
        return self._waiting[-1]

    def take(self) -> str | None:
        return self._waiting.pop() if self._waiting else None


def _empty(folder: int, top: int, waiting: _Names) -> None:
    """Remove the files of a folder and move its folders to the top."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
            continue
        os.chmod(name, 0o700, dir_fd=folder)
        os.rename(name, waiting.add(), src_dir_fd=folder, dst_dir_fd=top)
