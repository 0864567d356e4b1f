"""`stepscore evaluate`: how good a model's rewards are, on labelled data, with a report to show."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscore_service.commands.flags import MODEL_FLAGS, with_settings
from stepscore_service.commands.rewards import rewards_from
from stepscore_service.jobs.runs import console
from stepscore_service.settings import Settings

NEEDED = ("scipy", "matplotlib", "jinja2")

Files = list[str] | None


def _file(meaning: str) -> Any:
    return typer.Option(metavar="[NAME=]FILE", help=meaning)


@with_settings(only=MODEL_FLAGS)
def evaluate(
    out: Annotated[Path, typer.Option(help="folder for the rows, the numbers, the plots and the report")],
    processbench: Annotated[Files, _file("find the first wrong step; rows of ProcessBench")] = None,
    prmbench: Annotated[Files, _file("nine kinds of errors; rows of PRMBench")] = None,
    best_of_n: Annotated[Files, _file("choose among candidates; input or output of `stepscore rerank`")] = None,
    steps: Annotated[Files, _file("AUROC, calibration, reward hacking; rows with labels per step")] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL[#MODEL]", help="ask this running service instead of opening a model")
    ] = None,
    threshold: Annotated[
        str, typer.Option(metavar="model|NUMBER|tuned", help="rewards under it are errors; tuned: see --tune-on")
    ] = "model",
    tune_on: Annotated[
        str | None, typer.Option(metavar="NAME", help="the --processbench file on which the threshold is tuned")
    ] = None,
    orm: Annotated[
        str | None, typer.Option(metavar="MODEL", help="outcome model to compare with in --best-of-n")
    ] = None,
    split: Annotated[str, typer.Option(help="how a candidate given as text is split into steps")] = "auto",
    probes: Annotated[bool, typer.Option(help="also score --steps with an empty step added (4 times the work)")] = True,
    bias: Annotated[bool, typer.Option(help="fit a bias beside the temperature")] = False,
    sample: Annotated[int, typer.Option(min=0, help="so many rows of every file, spread evenly; 0 takes all")] = 0,
    batch_rows: Annotated[int, typer.Option(min=1, help="rows scored, written and synced together")] = 16,
    *,
    settings: Settings,
) -> None:
    """Measure a model on labelled data and write a report.

    Every file option may be given several times. The report is DIR/report.html (one file to send around) and
    DIR/report.md, the numbers are DIR/metrics.json. Run the same command again after an interruption and it continues.
    """
    _check_extra()
    from stepscore_service.jobs.evaluate.job import Choice, evaluate_all  # needs what was just looked for

    files = {"processbench": processbench, "prmbench": prmbench, "best_of_n": best_of_n, "steps": steps}
    choice = Choice(
        out=out,
        files={kind: tuple(given) for kind, given in files.items() if given},
        threshold=threshold,
        tune_on=tune_on or "",
        split=split,
        probes=probes,
        with_bias=bias,
        sample=sample,
        batch_rows=batch_rows,
    )
    evaluate_all(choice, settings, url, orm, rewards_from)


def _check_extra() -> None:
    """Ends the command where a package of the `train` extra is missing."""
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        console.fail(f"evaluate needs {', '.join(lacking)}: pip install 'stepscore[train]'")
