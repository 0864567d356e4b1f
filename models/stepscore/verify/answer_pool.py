"""Equality of answers by algebra (math-verify), safe from any thread and with an end in sight.

math-verify stops itself with SIGALRM, which works in no thread but the main one, and SymPy may hold the interpreter
lock for minutes on a short answer. So it runs in a process of its own, started at the first question, which is killed
when it does not reply. Answers that could not be shown equal in time stay apart.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from stepscore.errors import StepscoreError

START_SECONDS = 60.0
REPLY_SECONDS = 5.0
TOTAL_SECONDS = 10.0


class Judge:
    """One worker process and the lock that lets one caller at a time ask it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def group(self, answers: Sequence[str], settled: Sequence[bool]) -> list[int]:
        """For each answer the index of the first answer that it equals: its own where none is known to.

        An answer on which SymPy hangs equals nothing; after TOTAL_SECONDS so does every answer not yet looked at.
        """
        until = time.monotonic() + TOTAL_SECONDS
        firsts = list(range(len(answers)))
        asked = list(range(len(answers)))
        with self._lock:
            while len(asked) > 1 and time.monotonic() < until:
                replies = self._ask([answers[at] for at in asked], [settled[at] for at in asked], until)
                for at, (first, _) in zip(asked, replies, strict=False):
                    firsts[at] = asked[first]
                if len(replies) == len(asked):
                    break
                del asked[len(replies)]
        return firsts

    def compare(self, one: str, other: str) -> bool | None:
        """Whether two answers are equal; None where that could not be told in time, or one of them not be read."""
        with self._lock:
            replies = self._ask([one, other], [False, False], time.monotonic() + TOTAL_SECONDS)
        if len(replies) < 2:
            return None
        first, sure = replies[1]
        return first == 0 if sure else None

    def close(self) -> None:
        """End the worker; the next question starts another."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.communicate()

    def _ask(self, answers: Sequence[str], settled: Sequence[bool], until: float) -> list[tuple[int, bool]]:
        """The replies that came in time: all of them, or those before the answer that killed the worker."""
        lines = self._send(json.dumps({"answers": answers, "settled": settled}))
        replies: list[tuple[int, bool]] = []
        while len(replies) < len(answers):
            line = lines.next(min(REPLY_SECONDS, until - time.monotonic()))
            if line is None:
                self.close()
                break
            first, sure = line.split()
            replies.append((int(first), sure == b"1"))
        return replies

    def _send(self, request: str) -> _Lines:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request.encode() + b"\n")
        self._process.stdin.flush()
        return _Lines(self._process.stdout.fileno())

    def _start(self) -> None:
        self.close()
        script = Path(__file__).with_name("answer_worker.py")
        self._process = subprocess.Popen([sys.executable, "-P", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._owner = os.getpid()
        assert self._process.stdout is not None
        if _Lines(self._process.stdout.fileno()).next(START_SECONDS) != b"ready":
            self.close()
            raise StepscoreError("math-verify, which decides whether two answers are equal, did not start.")


class _Lines:
    """Lines of a pipe, each waited for no longer than the caller says."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""

    def next(self, seconds: float) -> bytes | None:
        """The next line without its end; None where none came in time or the other side is gone."""
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(self._descriptor, 1 << 16) if ready else b""
            if not chunk:
                return None
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line


JUDGE = Judge()
"""The one judge of this process; its worker starts at the first question that needs algebra."""

atexit.register(JUDGE.close)
