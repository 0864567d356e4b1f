"""The checker inside the sandbox: runs a program, then its tests, and signs what came of it. Run as a script.

Standard input: {"program", "tests", "entry_point", "secret"}; it is gone when the program runs. The last line of
standard output is the secret, and after a space why the program failed; nothing follows if it passed. What the
program prints goes nowhere.
"""

from __future__ import annotations

import json
import os


def main() -> None:
    order = json.loads(_read_all(0))
    answer = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    reason = _failure(order["program"], order["tests"], order["entry_point"])
    os.write(answer, f"{order['secret']} {reason}".strip().encode(errors="replace") + b"\n")
    os._exit(0)


def _read_all(descriptor: int) -> bytes:
    """Past `sys.stdin`, whose buffer would keep the secret for whoever winds it back."""
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _failure(program: str, tests: str, entry_point: str) -> str:
    """Why the program fails, on one line; empty if it passes. SystemExit is a failure like any other."""
    names: dict[str, object] = {"__name__": "solution"}
    try:
        exec(compile(program, "program", "exec"), names)
        exec(compile(tests, "tests", "exec"), names)
        if entry_point:
            names["check"](names[entry_point])  # type: ignore[operator]
    except BaseException as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ""


if __name__ == "__main__":
    main()
