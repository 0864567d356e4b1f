"""The run behind `stepscore label`: check everything, open the tools, label shard after shard, say how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import typer

from stepscore.errors import StepscoreError
from stepscore.verify.open import open_verifier
from stepscore_service.jobs.label.folder import OutputFolder
from stepscore_service.jobs.label.inputs import Inputs
from stepscore_service.jobs.label.job import Label, here
from stepscore_service.jobs.label.job import run as run_job
from stepscore_service.jobs.label.methods.check import Check
from stepscore_service.jobs.label.methods.registry import open_method
from stepscore_service.jobs.label.plan import Plan, versions
from stepscore_service.jobs.label.progress import LabelProgress
from stepscore_service.jobs.label.shard import shards
from stepscore_service.jobs.label.summary import none_right, summary, warnings
from stepscore_service.jobs.label.tools import Told, Tools, open_tools
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.progress import ProgressDisplay
from stepscore_service.jobs.runs.sandboxes import report_sandboxes, sandboxes
from stepscore_service.jobs.runs.signals import sigterm_interrupts
from stepscore_service.jobs.runs.source import STDIN, Source, open_source

RESUME = "Finished shards are whole; the same command continues after them."
Open = Callable[[Plan, Told], Tools]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run reads and where it writes. limit: 0 takes all rows. ray: a cluster's address; None works here."""

    file: str
    out: Path
    shard_problems: int = 16
    limit: int = 0
    ray: str | None = None
    workers: int = 1


def run(plan: Plan, asked: Run, open_: Open = open_tools) -> None:
    """Label what the output folder lacks. Ends the command, saying what to change, where something fails."""
    source = _source(asked.file)
    inputs = Inputs(source, plan, asked.limit)
    try:
        plan.check()
        verifier = open_verifier(plan.verifier)
        method = open_method(plan.method, plan.options, verifier)
        held = sandboxes([verifier, *([method.checker] if isinstance(method, Check) else [])])
        count = inputs.check(verifier)
        made_by = versions() | ({"sandbox": held} if held else {})
        folder = OutputFolder(asked.out, _identity(plan, asked, source), made_by)
    except StepscoreError as error:
        console.fail_with(error)
    report_sandboxes(held)
    with closing(folder), _interruptible(folder):
        _label(plan, asked, inputs, folder, count, open_)
    _report(folder)


def _label(plan: Plan, asked: Run, inputs: Inputs, folder: OutputFolder, count: int, open_: Open) -> None:
    done = folder.totals.get("problems", 0)
    if done:
        console.info(f"{asked.out}: {done} of {count} problems are labelled; continuing after them.")
    if done == count:
        return
    with (
        ProgressDisplay("problems", count, done) as display,
        _opened(plan, asked, progress := LabelProgress(display), open_) as label,
    ):
        try:
            run_job(shards(inputs.tasks(), asked.shard_problems), folder, label, progress.finished)
        except StepscoreError as error:
            _failed(folder, error)


@contextmanager
def _opened(plan: Plan, asked: Run, progress: LabelProgress, open_: Open) -> Iterator[Label]:
    """What labels shards: this process or a cluster. Ends the command where it cannot be had."""
    if asked.ray is not None:
        yield _on_ray(plan, asked, open_)
        return
    try:
        tools = open_(plan, progress.rolled)
    except StepscoreError as error:
        console.fail_with(error)
    with closing(tools):
        yield here(tools)


def _on_ray(plan: Plan, asked: Run, open_: Open) -> Label:
    try:
        from stepscore_service.jobs.label.ray_run import on_ray
    except ImportError:
        console.fail("--ray needs Ray Data: pip install 'stepscore[ray]'")
    return partial(on_ray, plan=plan, address=asked.ray or "auto", workers=asked.workers, open_=open_)


def _source(file: str) -> Source:
    if file == STDIN:
        console.fail("label reads its input twice and resumes: give a file, not standard input.")
    return open_source(file)


def _identity(plan: Plan, asked: Run, source: Source) -> dict[str, object]:
    return {
        "command": "label",
        "input_sha256": source.digest,
        "input_rows": source.total,
        "limit": asked.limit,
        "shard_problems": asked.shard_problems,
        **plan.identity(),
    }


@contextmanager
def _interruptible(folder: OutputFolder) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the command with 130 at once: what was finished is on disk, and the rest is made again."""
    try:
        with sigterm_interrupts():
            yield
    except KeyboardInterrupt:
        console.info(f"Stopped with {folder.totals.get('problems', 0)} problems labelled. {RESUME}")
        raise typer.Exit(console.INTERRUPTED) from None


def _failed(folder: OutputFolder, error: StepscoreError) -> NoReturn:
    console.info(f"Failed with {folder.totals.get('problems', 0)} problems labelled in {folder.path}. {RESUME}")
    console.fail_with(error, console.ENGINE_FAILED)


def _report(folder: OutputFolder) -> None:
    """Ends the command with ROWS_FAILED where rollouts were made and none is right."""
    console.OUT.print(summary(folder.totals))
    console.info(f"Labels: {folder.path}")
    for warning in warnings(folder.totals):
        console.info(warning)
    wrong = none_right(folder.totals)
    if wrong:
        console.fail(wrong, console.ROWS_FAILED)
