"""Beside the training loop: progress, and the end that Ctrl-C requests."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState

from stepscore_service.jobs.runs.progress import ProgressDisplay
from stepscore_service.jobs.runs.signals import StopSignals

Agree = Callable[[bool, torch.device], bool]
"""Whether any process of the run holds it to be true. All must call it, at the same place."""


def anywhere(flag: bool, device: torch.device) -> bool:
    """Asks the other processes of a run, if there are any. device: one that they can exchange tensors on."""
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
        self._signals = StopSignals("Stopping after this step, with a checkpoint (again to stop at once).", say)
        self._agree, self._agreed = agree, False

    @property
    def asked(self) -> bool:
        return self._signals.requested or self._agreed

    def __enter__(self) -> Stopping:
        self._signals.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._signals.__exit__(kind, error, at)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._agreed = self._agree(self.asked, args.device)
        if self._agreed:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave together: a launcher that sees one process end stops the one that still writes the checkpoint."""
        if self._agreed:
            self._agree(True, args.device)


class TrainProgress(TrainerCallback):
    """A bar on a terminal, a plain line now and then elsewhere; evaluations always get a line.

    A context, since the trainer does not tell its callbacks that it failed.
    """

    def __init__(self, console: Console) -> None:
        self._console, self._detail = console, ""
        self._display = ProgressDisplay("steps", None, output=console)

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._display = ProgressDisplay("steps", state.max_steps, state.global_step, output=self._console)
        self._display.__enter__()

    def __enter__(self) -> TrainProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._display.__exit__(kind, error, at)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._detail = f"loss {float(logs['loss']):.4f}"

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._display.update(state.global_step, self._detail)

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        numbers = ", ".join(f"{name.removeprefix('eval_')} {number:.4g}" for name, number in (metrics or {}).items())
        self._console.print(f"step {state.global_step}, held out: {numbers or 'nothing to measure'}")
