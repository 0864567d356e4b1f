"""The run behind `stepscore train`: read everything, build the model, train, report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import typer
from rich.console import Console

from stepscore.errors import StepscoreError
from stepscore_service.jobs.data.formats.base import ParseOptions
from stepscore_service.jobs.modeling.build import TrainSetup, build
from stepscore_service.jobs.modeling.outputs import check_name
from stepscore_service.jobs.modeling.plan import TrainPlan
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.train.data import TrainData, read
from stepscore_service.jobs.train.inputs import TrainInputs, open_inputs
from stepscore_service.jobs.train.job import TrainRun, check, count_processes, is_first_process, train
from stepscore_service.jobs.train.options import TrainRunOptions
from stepscore_service.jobs.train.trainer import TrainingError

EVERY = 10_000
"""Solutions read between two lines that say so."""


def run(plan: TrainPlan, files: Sequence[Path], options: TrainRunOptions) -> None:
    """Ends the command, saying what to change, if something fails; with 130 if it was asked to stop."""
    console.quiet_libraries()
    try:
        plan.check()
        check_name(plan.output, options.out)
        inputs = TrainInputs(
            open_inputs(files, options.columns),
            options.format,
            ParseOptions(options.neutral == "good"),
            options.skip_bad,
        )
        inputs.check_first_rows()
        with console.status(f"Opening {plan.base}"):
            setup = build(plan)
        data = read(inputs.solutions(), setup.encoder, options.eval_share, _reader())
        check(plan, data)
        if is_first_process():
            _say(data, inputs, setup)
        job = TrainRun(options.out, _identity(options, inputs), options.resume)
        job.prepare(plan)
        whole = train(plan, setup, data, job, console.ERR if is_first_process() else Console(quiet=True))
    except TrainingError as error:
        console.fail_with(error, console.ENGINE_FAILED)
    except StepscoreError as error:
        console.fail_with(error)
    except KeyboardInterrupt:
        console.info(
            f"Stopped at once. If {options.out}/checkpoints holds a step, the same command with "
            "--resume continues from it."
        )
        raise typer.Exit(console.INTERRUPTED) from None
    if not whole:
        console.info(
            f"Stopped. {options.out}/checkpoints holds the last step; the same command with --resume continues from it."
        )
        raise typer.Exit(console.INTERRUPTED)
    if is_first_process():
        console.info(f"Checkpoint: {options.out}. {next_step(plan, options.out)}")


def next_step(plan: TrainPlan, out: Path) -> str:
    """What the checkpoint is for, as a command."""
    model = shlex.quote(str(out))
    if plan.output == "causal":
        return f"Label with it: stepscore label problems.jsonl --model {model} --samples 4 --out labels"
    reference = f" --reference-model {shlex.quote(plan.base)}" if plan.output == "implicit" else ""
    return f"Serve it: stepscore serve --model {model}{reference}"


def _identity(options: TrainRunOptions, inputs: TrainInputs) -> dict[str, object]:
    """What the weights depend on besides the plan."""
    digests = [file.digest for file in inputs.files]
    return {
        "files": digests,
        "format": options.format,
        "zero_is_good": options.neutral == "good",
        "skip_bad": options.skip_bad,
        "eval_share": options.eval_share,
        **({"columns": options.columns} if options.columns else {}),
        **({"processes": count_processes()} if count_processes() > 1 else {}),
    }


def _reader() -> Callable[[], None]:
    """Says now and then how many solutions are read."""
    counted = count(1)

    def count_one() -> None:
        number = next(counted)
        if number % EVERY == 0 and is_first_process():
            console.info(f"{number} solutions read")

    return count_one


def _say(data: TrainData, inputs: TrainInputs, setup: TrainSetup) -> None:
    held = f", {len(data.held_out)} held out" if data.held_out else ""
    console.info(f"{len(data.train)} solutions ({data.tokens} tokens) to train on{held}.")
    for reason, solutions in data.left_out.items():
        console.info(f"Left out: {solutions} solutions ({reason}).")
    if inputs.bad:
        console.info(f"Passed over: {len(inputs.bad)} rows; the first: {inputs.bad[0]}")
    trained = sum(each.numel() for each in setup.model.parameters() if each.requires_grad)
    console.info(f"{trained:,} weights are trained.")
