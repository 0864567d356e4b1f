"""What stands beside the training loop: progress, the end that Ctrl-C asks for."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState

SECONDS = 30.0
"""Between two plain lines."""


Agree = Callable[[bool, torch.device], bool]
"""Whether any process of the run holds it to be true. All must call it, at the same place."""


def anywhere(flag: bool, device: torch.device) -> bool:
    """Asks the other processes of a run, where there are some. device: one that they can exchange tensors on."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return flag
    found = torch.tensor(int(flag), device=device)
    distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
    return bool(found.item())


class Stopping(TrainerCallback):
    """The first SIGINT or SIGTERM saves a checkpoint after the step in progress and ends; the second ends at once.

    Of several processes each hears a signal in its own time, or only one does. They agree at the end of every step, so
    that all stop after the same one: a process that went on alone would wait for the others' gradients for ever.
    asked: whether this process heard a signal, or the run ends because another did.
    """

    def __init__(self, say: Callable[[str], None], agree: Agree = anywhere) -> None:
        self.asked = False
        self._agreed = False
        self._say, self._agree = say, agree
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._agreed = self._agree(self.asked, args.device)
        if self._agreed:
            self.asked = control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave together: a launcher that sees one process end stops the one that still writes the checkpoint."""
        if self._agreed:
            self._agree(True, args.device)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self._before[number])
        self._say("Stopping after this step, with a checkpoint (again to stop at once).")


class TrainProgress(TrainerCallback):
    """A bar on a terminal, a plain line now and then elsewhere; evaluations always get a line."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._said = clock()
        self._loss = "-"
        columns = (TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]}"))
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Progress(*columns, *times, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("steps", total=None, loss=self._loss)

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._bar.start()
        self._bar.update(self._task, total=state.max_steps, completed=state.global_step)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._bar.stop()

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._loss = f"{float(logs['loss']):.4f}"

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._bar.update(self._task, completed=state.global_step, loss=self._loss)
        if not self._console.is_terminal and self._clock() - self._said >= SECONDS:
            self._said = self._clock()
            self._console.print(f"step {state.global_step} of {state.max_steps}, loss {self._loss}")

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        numbers = ", ".join(f"{name.removeprefix('eval_')} {number:.4g}" for name, number in (metrics or {}).items())
        self._console.print(f"step {state.global_step}, held out: {numbers or 'nothing to measure'}")
