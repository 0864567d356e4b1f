"""Algebra on answers (math-verify) by a pool of processes: safe from any thread, each question with a time limit.

math-verify stops itself with SIGALRM, which works in no thread but the main one, and SymPy may hold the interpreter
lock for minutes on a short answer. So it runs in separate processes, which are started when all others are busy, have
a limit on their processor time for each question, and are killed when they do not reply: a slow question takes one
worker, never the others' time.
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
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

from stepscore.errors import StepscoreError

START_SECONDS = 60.0
REPLY_SECONDS = 30.0
"""A process ends itself by its processor time (3 s); this is for one that sleeps or that a busy machine lets wait."""
MOST_WORKERS = 8
KEPT_ANSWERS = 20_000


class _Late:
    """The type of LATE."""


LATE: Final = _Late()
"""The reply to a question that was stopped."""


class AnswerPool:
    """Up to MOST_WORKERS processes; one question takes one of them."""

    def __init__(self, most: int = MOST_WORKERS) -> None:
        self._free = threading.Condition()
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []
        self._starting = 0
        self._most = most
        self._owner = os.getpid()
        self._known: OrderedDict[str, Any] = OrderedDict()

    def key(self, formula: str) -> str | _Late | None:
        """The canonical form of a formula: equal keys are equal formulas. None if it is not one; LATE if stopped."""
        reply: str | _Late | None = self._ask({"key": formula})
        return reply

    def equal(self, truth: str, found: str) -> bool | _Late | None:
        """What math-verify says of an answer and the truth, in that order. None if one of them cannot be read."""
        reply: bool | _Late | None = self._ask({"truth": truth, "found": found})
        return reply

    def close(self) -> None:
        """End all workers; the next question starts another."""
        with self._free:
            self._reset_after_fork()
            for worker in self._all:
                worker.kill()
            self._all, self._idle = [], []

    def _ask(self, question: dict[str, str]) -> Any:
        line = json.dumps(question)
        with self._free:
            if line in self._known:
                self._known.move_to_end(line)
                return self._known[line]
        worker = self._take()
        reply = worker.ask(line)
        self._give(worker, usable=worker.is_alive)
        if not worker.is_alive:
            return reply
        with self._free:
            self._known[line] = reply
            while len(self._known) > KEPT_ANSWERS:
                self._known.popitem(last=False)
        return reply

    def _take(self) -> _Worker:
        with self._free:
            self._reset_after_fork()
            self._drop_dead()
            while not self._idle and len(self._all) + self._starting >= self._most:
                self._free.wait()
            if self._idle:
                return self._idle.pop()
            self._starting += 1
        try:
            worker = _Worker()
        finally:
            with self._free:
                self._starting -= 1
                self._free.notify()
        with self._free:
            self._all.append(worker)
        return worker

    def _drop_dead(self) -> None:
        """Workers that something else has killed while they were idle."""
        for worker in [each for each in self._idle if each.has_ended()]:
            self._idle.remove(worker)
            self._all.remove(worker)
            worker.kill()

    def _give(self, worker: _Worker, *, usable: bool) -> None:
        with self._free:
            if usable:
                self._idle.append(worker)
            else:
                worker.kill()
                self._all.remove(worker)
            self._free.notify()

    def _reset_after_fork(self) -> None:
        """A forked process leaves its parent's workers alone."""
        if self._owner != os.getpid():
            self._all, self._idle, self._starting, self._owner = [], [], 0, os.getpid()


class _Worker:
    """One process. Raises StepscoreError if it does not start."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("answer_worker.py")
        self._process = subprocess.Popen([sys.executable, "-P", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._buffer = b""
        self.is_alive = True
        if self._line(START_SECONDS) != b"ready":
            self.kill()
            raise StepscoreError("math-verify, which decides whether two answers are equal, did not start.")

    def ask(self, question: str) -> Any:
        """The reply, or LATE if none came in time or the process died."""
        try:
            self._input.write(question.encode() + b"\n")
            self._input.flush()
            line = self._line(REPLY_SECONDS)
        except BrokenPipeError:
            line = None
        if line is None:
            self.is_alive = False
            return LATE
        reply = json.loads(line)
        return LATE if isinstance(reply, dict) else reply

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self.is_alive = False
        self._process.kill()
        try:
            self._process.communicate()
        except BrokenPipeError:
            self._process.wait()

    def _line(self, seconds: float) -> bytes | None:
        """The next line without its end; None if none came in time or the other side is gone."""
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._output], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(self._output.fileno(), 1 << 16) if ready else b""
            if not chunk:
                return None
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line


POOL = AnswerPool()
"""The one pool of this process; its first worker starts at the first question that needs algebra."""

atexit.register(POOL.close)
