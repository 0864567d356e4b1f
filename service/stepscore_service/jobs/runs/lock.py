"""One run at a time writes a folder."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

LOCK = ".lock"


def lock_folder(folder: Path) -> IO[str]:
    """A file that holds the folder until it is closed or its process ends. Raises BlockingIOError where another has it.

    Other kinds of OSError where it cannot be made.
    """
    lock = (folder / LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock
