"""Calls to the kernel for which Python has no name."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, *arguments: int) -> int:
    """prctl(2). Raises OSError if the kernel refuses."""
    given = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    return _check(_LIBC.prctl(option, *given))


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """syscall(2); bytes are passed by address. Raises OSError if the kernel refuses."""
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _check(_LIBC.syscall(ctypes.c_long(number), *given))


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
