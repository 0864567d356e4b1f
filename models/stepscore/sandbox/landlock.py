"""Files that a process may reach, by Landlock (landlock(7)): a promise to the kernel that needs no privilege.

What may not be reached can neither be opened, listed, made, renamed nor removed. That a path exists, its size, times
and mode (stat) and where a link points (readlink) can still be seen. TCP, signals and abstract sockets are shut too
if the kernel's version of Landlock knows of them; `stepscore.sandbox.syscalls` shuts them for every kernel.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from stepscore.sandbox.kernel import prctl, syscall

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15

READING = EXECUTE | READ_FILE | READ_DIR
WRITING = READING | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | TRUNCATE
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights on files each version of Landlock knows; 16 from the fifth on."""


def version() -> int:
    """The kernel's version of Landlock. Raises OSError if it has none, or if it is switched off."""
    return syscall(CREATE_RULESET, None, 0, _VERSION_FLAG)


def allow_only(readable: Iterable[str | Path], writable: Iterable[str | Path], newest: int | None = None) -> None:
    """Shut all files but those beneath these paths, for good. Paths that do not exist are left out.

    newest: the version of Landlock to use if the kernel's is newer, as on an older kernel.
    """
    known = version() if newest is None else min(version(), newest)
    rights = (1 << _RIGHTS.get(known, 16)) - 1
    fields = [rights] + ([0b11] if known >= 4 else []) + ([0b11] if known >= 6 else [])
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = syscall(CREATE_RULESET, attributes, len(attributes), 0)
    for paths, wanted in ((readable, READING), (writable, WRITING)):
        for path in paths:
            _add(ruleset, Path(path), wanted & rights)
    prctl(_NO_NEW_PRIVS, 1)
    syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _add(ruleset: int, path: Path, rights: int) -> None:
    if not path.exists():
        return
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    allowed = rights if path.is_dir() else rights & _OF_FILES
    syscall(ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, descriptor), 0)
    os.close(descriptor)
