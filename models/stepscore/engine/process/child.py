"""The engine's process: `python -m stepscore.engine.process.child FD`, where FD is its end of a pair of sockets.

It ends when its parent does. Messages are read by a thread, which notices a release or the parent's end while a
forward runs.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from stepscore.engine.open import open_engine
from stepscore.engine.process.messages import Call, Opened, OpenEngine, Part, PartResult, Release, Reply
from stepscore.engine.protocol import ChunkedEngine, Engine, QuantizableEngine, Work
from stepscore.errors import EngineError, StepscoreError, UnsupportedByEngine, forget_frames


class EngineHost:
    """Runs the calls of the parent on an engine, in order.

    begun: the works that need further forwards, by key. started: calls that are not answered yet, each with what is
    left to do of it, or its error.
    """

    def __init__(self, connection: Connection, engine: Engine) -> None:
        self._connection = connection
        self._engine = engine
        self._begun: dict[int, Work] = {}
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._started: deque[tuple[int, Any]] = deque()

    def run(self) -> None:
        """Until the engine is closed, or the parent's end of the connection."""
        threading.Thread(target=self._read, daemon=True).start()
        method = ""
        while method != "close":
            if self._started and (self._calls.empty() or len(self._started) == self._engine.info.in_flight):
                self._answer_oldest()
                continue
            call = self._calls.get()
            method = call.method
            while self._started and method != "advance":
                self._answer_oldest()
            self._started.append((call.number, self._outcome_of(partial(self._start, call))))
        self._answer_oldest()

    def _answer_oldest(self) -> None:
        number, rest = self._started.popleft()
        result = self._outcome_of(rest) if callable(rest) else rest
        send(self._connection, Reply(number, result, self._engine.counts()))

    def _read(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            if isinstance(message, Release):
                self._release(message.key)
            else:
                self._calls.put(message)

    def _outcome_of(self, run: Callable[[], Any]) -> Any:
        """What it returns, or its error, which does not keep the tensors of a failed forward alive."""
        try:
            return run()
        except StepscoreError as error:
            forget_frames(error)
            return error
        except Exception as error:  # a defect of the program, which the parent reports
            return EngineError(f"the engine broke: {type(error).__name__}: {error}")

    def _start(self, call: Call) -> Callable[[], Any]:
        """The rest of a call: all of it, but for an `advance`, whose forward is started."""
        match call.method:
            case "forward":
                return partial(self._engine.forward, call.argument)
            case "advance":
                return self._launch(call.argument)
            case "purge":
                return self._engine.purge
            case "quantize":
                if not isinstance(self._engine, QuantizableEngine):
                    raise UnsupportedByEngine(f"engine {self._engine.info.name} does not quantize")
                return partial(self._engine.quantize, call.argument)
            case "close":
                return self._engine.close

    def _launch(self, parts: Sequence[Part]) -> Callable[[], list[PartResult]]:
        assert isinstance(self._engine, ChunkedEngine)
        works = [self._work_of(part) for part in parts]
        before = [len(work.outputs) for work in works]
        finish = self._engine.launch(works)

        def results() -> list[PartResult]:
            finish()
            return [self._keep(part, work, count) for part, work, count in zip(parts, works, before, strict=True)]

        return results

    def _work_of(self, part: Part) -> Work:
        work = self._begun[part.key] if part.encoded is None else Work(part.encoded)
        work.token_budget = part.token_budget
        return work

    def _keep(self, part: Part, work: Work, before: int) -> PartResult:
        if work.cursor is None:
            self._begun.pop(part.key, None)
            return PartResult(work.outputs[before:], None)
        self._begun[part.key] = work
        return PartResult(work.outputs[before:], self._engine.cost(work.remaining.sequences[0]))

    def _release(self, key: int) -> None:
        work = self._begun.pop(key, None)
        if work is not None and isinstance(self._engine, ChunkedEngine):
            self._engine.release(work)


def send(connection: Connection, message: Reply | Opened | StepscoreError) -> None:
    """A message to the parent. Ends this process if the parent has ended."""
    try:
        connection.send(message)
    except OSError:
        os._exit(0)


def main(descriptor: int) -> None:
    """Open what the first message says, and serve its calls."""
    connection = Connection(descriptor)
    opening: OpenEngine = connection.recv()
    try:
        engine = open_engine(opening.facts, opening.head, opening.options, opening.engine)
    except StepscoreError as error:
        send(connection, error)
        return
    except Exception as error:  # a disk that fails, for example; the parent reports it in one line
        traceback.print_exc()
        send(connection, EngineError(f"the engine cannot be opened: {type(error).__name__}: {error}"))
        return
    send(connection, Opened(engine.info, engine.counts()))
    EngineHost(connection, engine).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
