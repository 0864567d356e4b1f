"""The parent's side of an engine in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from stepscore.config import Quantize
from stepscore.engine.process.messages import (
    Call,
    Method,
    Opened,
    OpenEngine,
    Part,
    PartResult,
    Release,
    Reply,
)
from stepscore.engine.protocol import TokenCounts, Work
from stepscore.engine.torch.kv_pool import SlotPool
from stepscore.engine.torch.radix import RadixTree
from stepscore.engine.torch.tree_plan import TreePlan, tree_cost
from stepscore.errors import EngineDead, StepscoreError
from stepscore.types import Encoded, Values

SECONDS_TO_END = 10.0
"""How long a process that was told to end may take before it is killed."""


class EngineProcess:
    """A process with an engine that is being opened; several may open at the same time.

    environment: variables of the process beside the parent's own. name: in errors.
    """

    def __init__(self, opening: OpenEngine, name: str, environment: dict[str, str]) -> None:
        ours, theirs = socket.socketpair()
        self.opening, self.name, self._environment = opening, name, environment
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stepscore.engine.process.child", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
                start_new_session=True,  # Ctrl-C is for the parent, which closes this process when its work is done
            )
        self.connection = Connection(ours.detach())
        self.connection.send(opening)

    @property
    def pid(self) -> int:
        return self._process.pid

    def again(self) -> EngineProcess:
        """Another process that opens the same engine at the same place."""
        return EngineProcess(self.opening, self.name, self._environment)

    def wait_open(self) -> Opened:
        """Raises the error for which the engine could not be opened, EngineDead if the process has ended."""
        try:
            answer: Opened | StepscoreError = self.connection.recv()
        except (EOFError, OSError) as error:
            raise EngineDead(self.end()) from error
        if isinstance(answer, StepscoreError):
            self.end()
            raise answer
        return answer

    def end(self) -> str:
        """Wait for the end of a process that must end; how it ended."""
        try:
            code = self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        hint = " (if nobody sent it, memory ran out)" if code == -signal.SIGKILL else ""
        how = f"by signal {-code}{hint}" if code < 0 else f"with code {code}"
        return f"{self.name} (process {self.pid}) ended {how}"

    def kill(self) -> None:
        self._process.kill()


@dataclass(frozen=True, slots=True)
class ProcessCursor:
    """A work that the process has begun, and keeps under a key."""

    engine: ProcessEngine
    key: int

    def release(self) -> None:
        self.engine.send(Release(self.key))


class KnownPrefixes:
    """A radix tree of what an engine was seen to compute. capacity: tokens that the engine can keep.

    An estimate: what the engine evicts, and when, is its own affair. May be called from any thread.
    """

    def __init__(self, capacity: int) -> None:
        self._tree = RadixTree(SlotPool(capacity))
        self._lock = threading.Lock()

    def cost(self, encoded: Encoded) -> int:
        """Tokens that the engine would compute now."""
        with self._lock:
            return tree_cost(self._tree, encoded)

    def add(self, encoded: Encoded, left: int = 0) -> None:
        """The engine has computed the sequence but for `left` tokens."""
        with self._lock:
            new = tree_cost(self._tree, encoded) - left
            if new <= 0:
                return
            plan = TreePlan(self._tree)
            if left:
                plan.add_part(encoded, new)
            else:
                plan.add(encoded)
            plan.commit()
            plan.finish(np.zeros((len(encoded.reads), 1), dtype=np.float32))

    def clear(self) -> None:
        with self._lock:
            self._tree.clear()


class ProcessEngine:
    """An engine in another process. `cost` is an estimate; `counts` are those of the latest answer.

    `cost`, `counts`, `release` and `fault` may be called from any thread while a forward runs.
    """

    def __init__(self, process: EngineProcess, opened: Opened) -> None:
        self.info = opened.info
        self._process = process
        self._counts = opened.counts
        self._known = KnownPrefixes(opened.counts.capacity)
        self._numbers = count()
        self._waiting: dict[int, Future[Any]] = {}
        self._fault: str | None = None
        self._successor: EngineProcess | None = None
        self._abandoned = False
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"read {process.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def fault(self) -> str | None:
        """Why no call will work any more; None while the process runs."""
        return self._fault

    def counts(self) -> TokenCounts:
        return self._counts

    def cost(self, encoded: Encoded) -> int:
        return self._known.cost(encoded)

    def forward(self, batch: Sequence[Encoded]) -> list[Values]:
        values: list[Values] = self._call("forward", list(batch))
        for encoded in batch:
            self._known.add(encoded)
        return values

    def advance(self, works: Sequence[Work]) -> None:
        self.launch(works)()

    def launch(self, works: Sequence[Work]) -> Callable[[], None]:
        keys = [_key_of(work) for work in works]
        parts = [
            Part(next(self._numbers), work.remaining, work.token_budget)
            if key is None
            else Part(key, None, work.token_budget)
            for key, work in zip(keys, works, strict=True)
        ]
        answer = self._send_call("advance", parts)

        def finish() -> None:
            results: list[PartResult] = answer()
            for part, work, result in zip(parts, works, results, strict=True):
                self._note(part, work, result)

        return finish

    def release(self, work: Work) -> None:
        work.release()

    def purge(self) -> None:
        self._call("purge")
        self._known.clear()

    def quantize(self, kind: Quantize) -> None:
        self._call("quantize", kind)
        self._known.clear()

    def again(self) -> ProcessEngine:
        """The same engine in a new process, with nothing in its cache. Raises what opening the first one could."""
        self._successor = process = self._process.again()
        if self._abandoned:
            process.kill()
        engine = ProcessEngine(process, process.wait_open())
        try:
            if process.opening.options.quantize != "none":
                engine.quantize(process.opening.options.quantize)
        except BaseException:
            engine.kill()
            raise
        return engine

    def kill(self) -> None:
        """End the process at once: a forward that runs in it, or hangs, fails with EngineDead."""
        self._process.kill()

    def abandon(self) -> None:
        """End the process at once, and one that is being opened in its place, for which `again` then raises.

        May be called from any thread.
        """
        self._abandoned = True
        self.kill()
        if self._successor is not None:
            self._successor.kill()

    def close(self) -> None:
        """Free the weights and end the process; nothing is left to do if it has already ended."""
        with suppress(EngineDead):
            self._call("close")
        self._process.end()
        self._reader.join()

    def send(self, message: Call | Release) -> None:
        """A message to a process that has ended is dropped: the reader reports its end."""
        with self._lock:
            try:
                self._process.connection.send(message)
            except OSError:
                return

    def _note(self, part: Part, work: Work, result: PartResult) -> None:
        for sequence in work.remaining.sequences[: len(result.outputs)]:
            self._known.add(sequence)
        work.outputs += result.outputs
        if result.left is None:
            work.cursor = None
            return
        work.cursor = ProcessCursor(self, part.key)
        self._known.add(work.remaining.sequences[0], result.left)

    def _call(self, method: Method, argument: Any = None) -> Any:
        """Raises what the engine raised, EngineDead if the process ends before it has answered."""
        return self._send_call(method, argument)()

    def _send_call(self, method: Method, argument: Any) -> Callable[[], Any]:
        """What waits for the answer. Raises as `_call` does."""
        future: Future[Any] = Future()
        call = Call(next(self._numbers), method, argument)
        with self._lock:
            if self._fault is not None:
                raise EngineDead(self._fault)
            self._waiting[call.number] = future
        self.send(call)
        return partial(_result_of, future)

    def _read(self) -> None:
        """On a thread of its own: hand replies to those who wait, and errors at the process's end."""
        while True:
            try:
                reply: Reply = self._process.connection.recv()
            except (EOFError, OSError):
                break
            self._counts = reply.counts
            with self._lock:
                future = self._waiting.pop(reply.number)
            future.set_result(reply.result)
        self._end()

    def _end(self) -> None:
        fault = self._process.end()
        with self._lock:
            self._fault = fault
            waiting, self._waiting = list(self._waiting.values()), {}
        self._process.connection.close()
        for future in waiting:
            future.set_result(EngineDead(fault))


def _result_of(future: Future[Any]) -> Any:
    result = future.result()
    if isinstance(result, StepscoreError):
        raise result
    return result


def _key_of(work: Work) -> int | None:
    return work.cursor.key if isinstance(work.cursor, ProcessCursor) else None
