"""One run at a time writes a file or a folder."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO, Any

LOCK = ".lock"


def lock_file(file: IO[Any]) -> None:
    """Hold an open file until it is closed or its process ends; closes it if it cannot be had.

    Raises BlockingIOError if another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise


def lock_folder(folder: Path) -> IO[str]:
    """A file that holds the folder until it is closed or its process ends.

    Raises BlockingIOError if another process holds it, another OSError if the file cannot be made.
    """
    lock = (folder / LOCK).open("w")
    lock_file(lock)
    return lock
