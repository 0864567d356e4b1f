"""`stepscore evaluate`: how good a model's rewards are, on labelled data, with a report to show."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscore_service.commands.flags import Command, given_flags, with_settings
from stepscore_service.jobs.evaluate.suites.registry import SUITES
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.source import ColumnsFlag
from stepscore_service.settings import MODEL_SETTINGS, Settings

NEEDED = ("scipy", "matplotlib", "jinja2")
SUITES_OF = {
    "threshold": ("processbench", "prmbench"),
    "tune_on": ("processbench",),
    "orm": ("best_of_n",),
    "split": ("best_of_n",),
    "bias": ("steps",),
}
"""By parameter, the only suites that it changes."""


def with_suites(command: Command) -> Command:
    """Replace the parameter `files` of a command by one flag for each suite."""

    @wraps(command)
    def run(**given: Any) -> None:
        command(files={kind: given.pop(kind) for kind in SUITES}, **given)

    parameters = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "files"]
    at = 1 + [parameter.name for parameter in parameters].index("out")
    parameters[at:at] = [_parameter(kind, entry.help) for kind, entry in SUITES.items()]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameter(kind: str, meaning: str) -> inspect.Parameter:
    annotation = Annotated[list[str] | None, typer.Option(metavar="[NAME=]FILE", help=meaning)]
    return inspect.Parameter(kind, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


@with_settings(only=MODEL_SETTINGS)
@with_suites
def evaluate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="folder for the rows, the numbers, the plots and the report")],
    url: Annotated[
        str | None, typer.Option(metavar="URL[#MODEL]", help="ask this running service instead of opening a model")
    ] = None,
    threshold: Annotated[
        str, typer.Option(metavar="model|NUMBER|tuned", help="a reward below it is an error; tuned: see --tune-on")
    ] = "model",
    tune_on: Annotated[
        str | None, typer.Option(metavar="NAME", help="the --processbench file on which the threshold is tuned")
    ] = None,
    orm: Annotated[
        str | None, typer.Option(metavar="MODEL", help="outcome model to compare with in --best-of-n")
    ] = None,
    columns: ColumnsFlag = "",
    split: Annotated[str, typer.Option(help="how a candidate given as text is split into steps")] = "auto",
    probes: Annotated[bool, typer.Option(help="also score --steps with an empty step added (4 times the work)")] = True,
    bias: Annotated[bool, typer.Option(help="fit a bias beside the temperature")] = False,
    sample: Annotated[int, typer.Option(min=0, help="how many rows of each file, spread evenly; 0 takes all")] = 0,
    batch_rows: Annotated[int, typer.Option(min=1, help="rows scored, written and synced together")] = 16,
    *,
    files: dict[str, list[str] | None],
    settings: Settings,
) -> None:
    """Measure a model on labelled data and write a report.

    Every file option may be given several times. The report is DIR/report.html (one file to send around) and
    DIR/report.md, the numbers are DIR/metrics.json. Run the same command again after an interruption and it continues.
    """
    _check_extra()
    _refuse_useless(given_flags(context), [kind for kind, given in files.items() if given])
    from stepscore_service.jobs.evaluate.job import EvaluationRequest, evaluate_all  # needs what was just looked for

    request = EvaluationRequest(
        out=out,
        files={kind: tuple(given) for kind, given in files.items() if given},
        threshold=threshold,
        tune_on=tune_on or "",
        columns=columns,
        split=split,
        probes=probes,
        with_bias=bias,
        sample=sample,
        batch_rows=batch_rows,
    )
    evaluate_all(request, settings, url, orm)


def _refuse_useless(flags: Mapping[str, str], given: Sequence[str]) -> None:
    """Ends the command for a flag of a suite that is not run. given: the suites that are."""
    for name, flag in flags.items():
        suites = SUITES_OF.get(name, given)
        if given and not set(suites) & set(given):
            flags_of = " and ".join(f"--{suite.replace('_', '-')}" for suite in suites)
            console.fail(f"{flag} would change nothing: it is for {flags_of}.")


def _check_extra() -> None:
    """Ends the command if a package of the `evaluate` extra is missing."""
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        console.fail(f"evaluate needs {', '.join(lacking)}: pip install 'stepscore[evaluate]'")
