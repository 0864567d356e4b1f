"""The run behind `stepscore label`: check everything, open what labels, label shard after shard, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import NoReturn

import typer

from stepscore.errors import StepscoreError
from stepscore.verify.open import open_verifier
from stepscore_service.jobs.label.folder import OutputFolder
from stepscore_service.jobs.label.inputs import LabelInputs
from stepscore_service.jobs.label.labeller import OpenLabeller, open_labeller
from stepscore_service.jobs.label.methods.check import Check
from stepscore_service.jobs.label.methods.registry import open_method
from stepscore_service.jobs.label.options import LabelRunOptions
from stepscore_service.jobs.label.plan import LabelPlan, versions
from stepscore_service.jobs.label.shard import FinishedShard, Shard, shards
from stepscore_service.jobs.label.stats import Totals
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.progress import ProgressDisplay
from stepscore_service.jobs.runs.sandboxes import report_sandboxes, sandboxes
from stepscore_service.jobs.runs.signals import sigterm_interrupts
from stepscore_service.jobs.runs.source import STDIN, Source, open_source

RESUME = "Finished shards are whole; the same command continues after them."
LabelShards = Callable[[Iterable[Shard]], Iterator[FinishedShard]]
"""Shards in, the finished ones out, in whatever order they are done."""

HALF = 0.5


class LabelProgress:
    """Counts into a display of problems."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display, self._rollouts = display, 0

    def add_rollouts(self, rollouts: int) -> None:
        self._rollouts += rollouts
        self._display.advance(0, f"{self._rollouts} rollouts")

    def add_shard(self, shard: FinishedShard) -> None:
        self._display.advance(shard.totals["problems"])


def run(plan: LabelPlan, file: str, options: LabelRunOptions, open_: OpenLabeller = open_labeller) -> None:
    """Label what the output folder lacks. Ends the command, saying what to change if something fails."""
    source = _source(file, options.columns)
    source.refuse_output(*options.out.glob("*.jsonl"))
    inputs = LabelInputs(source, plan, options.limit, options.skip_bad)
    try:
        plan.check()
        verifier = open_verifier(plan.method.verifier)
        method = open_method(plan.method, verifier)
        held = sandboxes([verifier, *([method.checker] if isinstance(method, Check) else [])])
        count = inputs.check(verifier)
        made_by = versions() | ({"sandbox": held} if held else {})
        folder = OutputFolder(options.out, _identity(plan, options, source), made_by)
    except StepscoreError as error:
        console.fail_with(error)
    report_sandboxes(held)
    for message in inputs.bad.values():
        console.info(f"Passed over: {message}")
    with closing(folder), _interruptible(folder):
        _label(plan, options, inputs, folder, count, open_)
    _report(folder)


def _label(
    plan: LabelPlan,
    options: LabelRunOptions,
    inputs: LabelInputs,
    folder: OutputFolder,
    count: int,
    open_: OpenLabeller,
) -> None:
    done = folder.totals.get("problems", 0)
    if done:
        console.info(f"{options.out}: {done} of {count} problems are labelled; continuing after them.")
    if done == count:
        return
    with (
        ProgressDisplay("problems", count, done) as display,
        _open_labeller(plan, options, progress := LabelProgress(display), open_) as label,
    ):
        try:
            every = shards(inputs.tasks(), options.shard_problems)
            for finished in label(shard for shard in every if shard.index not in folder.done):
                folder.keep(finished)
                progress.add_shard(finished)
        except StepscoreError as error:
            _fail(folder, error)


@contextmanager
def _open_labeller(
    plan: LabelPlan, options: LabelRunOptions, progress: LabelProgress, open_: OpenLabeller
) -> Iterator[LabelShards]:
    """What labels shards: this process or a cluster. Ends the command if it cannot be had."""
    if options.ray is not None:
        yield _on_ray(plan, options, open_)
        return
    try:
        labeller = open_(plan, progress.add_rollouts)
    except StepscoreError as error:
        console.fail_with(error)
    with closing(labeller):
        yield partial(map, labeller.label)


def _on_ray(plan: LabelPlan, options: LabelRunOptions, open_: OpenLabeller) -> LabelShards:
    try:
        from stepscore_service.jobs.label.ray_run import on_ray
    except ImportError:
        console.fail("--ray needs Ray Data: pip install 'stepscore[ray]'")
    return partial(on_ray, plan=plan, address=options.ray or "auto", workers=options.workers, open_=open_)


def _source(file: str, columns: str) -> Source:
    if file == STDIN:
        console.fail("label reads its input twice and resumes: give a file, not standard input.")
    return open_source(file, columns=columns)


def _identity(plan: LabelPlan, options: LabelRunOptions, source: Source) -> dict[str, object]:
    return {
        "command": "label",
        "input_sha256": source.digest,
        "input_rows": source.total,
        "limit": options.limit,
        **({"skip_bad": options.skip_bad} if options.skip_bad else {}),
        "shard_problems": options.shard_problems,
        **({"columns": options.columns} if options.columns else {}),
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


def _fail(folder: OutputFolder, error: StepscoreError) -> NoReturn:
    console.info(f"Failed with {folder.totals.get('problems', 0)} problems labelled in {folder.path}. {RESUME}")
    console.fail_with(error, console.ENGINE_FAILED)


def _report(folder: OutputFolder) -> None:
    """Ends the command with ROWS_FAILED if rollouts were made and none is right."""
    console.show_result(summary(folder.totals))
    console.info(f"Labels: {folder.path}")
    for warning in warnings(folder.totals):
        console.info(warning)
    wrong = none_right(folder.totals)
    if wrong:
        console.fail(wrong, console.ROWS_FAILED)


def summary(totals: Totals) -> str:
    """One line on labels, and one on rollouts if there were any."""
    labels = (
        f"{totals.get('rows', 0)} rows of {totals.get('problems', 0)} problems, {totals.get('rows_with_error', 0)} "
        f"with a wrong step: {totals.get('steps', 0)} steps, {totals.get('steps_without_label', 0)} without a label."
    )
    compared = {name: count for name, count in totals.items() if name.startswith("consensus_")}
    if compared:
        parts = ", ".join(f"{count} {name.removeprefix('consensus_')}" for name, count in compared.items())
        labels += f"\nConsensus: {parts}; rows on which the judge does not agree are in dropped-*.jsonl."
    if unsolved := totals.get("problems_unsolved", 0):
        labels += f"\n{unsolved} problems of which no rollout is right: their rows are in dropped-*.jsonl."
    rollouts = totals.get("rollouts", 0)
    if not rollouts:
        return labels
    ended = ", ".join(f"{totals.get(name, 0)} {name}" for name in ("right", "wrong", "unreadable", "truncated"))
    return f"{labels}\n{rollouts} rollouts in {totals.get('rounds', 0)} rounds: {ended}."


def none_right(totals: Totals) -> str:
    """What is wrong if rollouts were made and none was right; otherwise ""."""
    rollouts = totals.get("rollouts", 0)
    if not rollouts or totals.get("right", 0):
        return ""
    kept = "The rows are in dropped-*.jsonl." if totals.get("problems_unsolved") else "The rows are kept."
    return (
        f"not one of {rollouts} rollouts is right, so these labels say nothing of the steps. Look at some with "
        "--rollouts: the prompt (--prompt) may not suit the policy, the answers may need another --verifier, or the "
        f"policy is too weak for these problems. {kept}"
    )


def warnings(totals: Totals) -> list[str]:
    """Things that make labels weak, each with what to change."""
    found = []
    rollouts = totals.get("rollouts", 0)
    if unstarted := totals.get("unstarted", 0):
        found.append(f"{unstarted} rollouts have no room in the policy's context, so their steps got no label.")
    if totals.get("truncated", 0) > HALF * rollouts:
        found.append("More than half of the rollouts ran out of tokens: raise --rollout-tokens.")
    if totals.get("unreadable", 0) > HALF * rollouts:
        found.append("More than half of the rollouts state no answer that can be read: see --prompt and --verifier.")
    return found
