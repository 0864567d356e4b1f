"""The calls to the kernel that a process in the sandbox is denied, as a seccomp filter.

Without them there is no network (a `socketpair` joins only the process to itself), no second process or thread, no
way to signal, trace or slow another process, no memory that its limits do not count, and no change to the owner, mode
or attributes of a file. What Landlock forbids only in newer kernels is denied here for all: emptying a file that
cannot be written, and signals sent through a file's owner. Calls newer than NEWEST do not exist for the process. A
filter needs no privilege (with `no_new_privs`), works inside containers, and binds root too; see seccomp(2),
linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

from stepscore.sandbox.kernel import prctl

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""For each machine its column in the tables below and its AUDIT_ARCH constant."""

X32_BIT = 0x40000000
"""x86-64 answers a second set of numbers from here on, which would go round the filter."""

DENIED: dict[str, tuple[int, int | None]] = {
    "socket": (41, 198),
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "unshare": (272, 97),
    "setns": (308, 268),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "truncate": (76, 45),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
}
UNKNOWN = {"clone3": 435, "openat2": 437}
"""Denied as unknown, so that libc falls back to clone and openat, whose arguments a filter can read."""
NEWEST = 462
"""The last call that this list was checked against (mseal, Linux 6.10): what is newer is denied as unknown."""

COMMANDS: dict[str, tuple[tuple[int, int], tuple[int, ...]]] = {
    "fcntl": ((72, 25), (8, 10, 15)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX
    "ioctl": ((16, 29), (0x5452, 0x8901, 0x8902)),  # FIOASYNC, FIOSETOWN, SIOCSPGRP
}
"""Calls whose second argument may not be one of these: they make the kernel signal another process."""

FLAGS: dict[str, tuple[tuple[int, int | None], int | None, int, int, int]] = {
    "open": ((2, None), None, 1, 0o1003, 0o1000),  # O_TRUNC with O_RDONLY
    "openat": ((257, 56), None, 2, 0o1003, 0o1000),
    "fcntl": ((72, 25), 4, 2, 0o20000, 0o20000),  # F_SETFL with O_ASYNC
}
"""Calls whose argument (by its place) may not have this value under this mask; of fcntl under its command alone, since
the argument of others is a size or the address of a lock."""

ON_ITSELF = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
"""Allowed if the first argument is the process itself (prlimit64: or 0)."""

_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENT_AT = 0, 4, 16


def deny() -> None:
    """Install the filter on this process, for good. Raises OSError if the kernel or this machine has none."""
    if platform.machine() not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no filter is written for {platform.machine()}")
    program = _program(*ARCHITECTURES[platform.machine()], os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    address = ctypes.addressof(code)
    pointer = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, address))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(pointer))


def _program(column: int, architecture: int, process: int) -> bytes:
    """The filter in classic BPF: each rule tests the call's number and returns; what no rule names is allowed."""
    code = _step(_LOAD, _ARCHITECTURE_AT) + _unless(architecture, _KILL) + _step(_LOAD, _NUMBER_AT)
    code += _step(_AT_LEAST, X32_BIT, 0, 1) + _step(_RETURN, _ERROR | errno.EPERM)
    code += _step(_AT_LEAST, NEWEST + 1, 0, 1) + _step(_RETURN, _ERROR | errno.ENOSYS)
    for number in UNKNOWN.values():
        code += _when(number, _ERROR | errno.ENOSYS)
    for numbers in DENIED.values():
        number_here = numbers[column]
        code += b"" if number_here is None else _when(number_here, _ERROR | errno.EPERM)
    for numbers in ON_ITSELF.values():
        code += _on_itself(numbers[column], process)
    for numbers, commands in COMMANDS.values():
        code += _no_command(numbers[column], commands)
    for places, command, argument, mask, value in FLAGS.values():
        place = places[column]
        code += b"" if place is None else _no_flags(place, command, argument, mask, value)
    return code + _step(_RETURN, _ALLOW)


def _no_command(number: int, commands: Sequence[int]) -> bytes:
    """Go on to the next rule, with the number loaded again, unless the second argument is one of these."""
    body = _step(_LOAD, _ARGUMENT_AT + 8)
    body += b"".join(_when(command, _ERROR | errno.EPERM) for command in commands) + _step(_LOAD, _NUMBER_AT)
    return _step(_EQUAL, number, 0, len(body) // 8) + body


def _no_flags(number: int, command: int | None, argument: int, mask: int, value: int) -> bytes:
    """command: the second argument under which the rule holds; None for any."""
    body = _step(_LOAD, _ARGUMENT_AT + 8 * argument) + _step(_AND, mask) + _when(value, _ERROR | errno.EPERM)
    if command is not None:
        body = _step(_LOAD, _ARGUMENT_AT + 8) + _step(_EQUAL, command, 0, len(body) // 8) + body
    body += _step(_LOAD, _NUMBER_AT)
    return _step(_EQUAL, number, 0, len(body) // 8) + body


def _on_itself(number: int, process: int) -> bytes:
    body = _step(_LOAD, _ARGUMENT_AT) + _when(process, _ALLOW)
    body += (_when(0, _ALLOW) if number in ON_ITSELF["prlimit64"] else b"") + _step(_RETURN, _ERROR | errno.EPERM)
    return _step(_EQUAL, number, 0, len(body) // 8) + body


def _when(value: int, verdict: int) -> bytes:
    return _step(_EQUAL, value, 0, 1) + _step(_RETURN, verdict)


def _unless(value: int, verdict: int) -> bytes:
    return _step(_EQUAL, value, 1, 0) + _step(_RETURN, verdict)


def _step(code: int, value: int, when: int = 0, otherwise: int = 0) -> bytes:
    """One struct sock_filter: jumps are counted in steps from the next one."""
    return struct.pack("=HBBI", code, when, otherwise, value)
