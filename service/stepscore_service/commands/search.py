"""`stepscore search`: problems solved by a policy guided by a PRM; `search compare`: methods side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stepscore_service.commands.flags import with_options, with_settings
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.first_row import check_first
from stepscore_service.jobs.runs.rewards import rewards_from
from stepscore_service.jobs.runs.source import JsonRow, Source, open_source, results_name
from stepscore_service.jobs.search.options import SearchOptions
from stepscore_service.settings import MODEL_SETTINGS, Settings

SHAPE = 'an object like {"problem": "…", "answer": "…"}'
COMPARED = ("greedy", "majority:n=8", "best_of_n:n=8", "weighted:n=8", "beam:n=8,width=4", "dvts:n=8,width=4")
COMPARED_TREES = ("rebase:width=8", "mcts:simulations=16")


class RunByDefault(TyperGroup):
    """`search FILE` is `search run FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["run", *args])


app = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    help="Solve problems with a policy guided by step rewards: `search FILE` runs one method, `search compare` many.",
)


@app.command("run")
@with_settings(only=MODEL_SETTINGS)
@with_options
def run(
    file: Annotated[str, typer.Argument(help="JSONL of problems, each optionally with its answer", metavar="FILE")],
    options: SearchOptions,
    method: Annotated[
        str, typer.Option(help="greedy, majority, best_of_n, weighted, adaptive, beam, dvts, rebase, …")
    ] = "beam",
    n: Annotated[
        int | None,
        typer.Option(min=1, help="candidates; the same as METHOD:n=… (the width of rebase, the simulations of mcts)"),
    ] = None,
    width: Annotated[int | None, typer.Option(min=1, help="children of an expansion, for methods that have it")] = None,
    out: Annotated[Path | None, typer.Option(help="where results go; default FILE.search.jsonl")] = None,
    *,
    settings: Settings,
) -> None:
    """Solve the problems of a file. A page beside the results shows the search trees.

    A method's options may follow its name: `--method beam:n=8,width=4,lookahead=1`. Ctrl-C keeps what is finished, and
    the same command continues.
    """
    from stepscore_service.jobs.search.plan import parse_method, plan_of
    from stepscore_service.jobs.search.run import run_plans

    source = _open_source(file, options.columns)
    with console.refuse_errors():
        plan = plan_of(parse_method(method, n=n, width=width), options, settings.device, settings.dtype)
    run_plans(
        [(plan, out or results_name(file, "search.jsonl"))],
        source,
        partial(rewards_from, settings, options.url or None),
    )


@app.command("compare")
@with_settings(only=MODEL_SETTINGS)
@with_options
def compare(
    file: Annotated[str, typer.Argument(help="JSONL of problems with their answers", metavar="FILE")],
    options: SearchOptions,
    out: Annotated[Path, typer.Option(help="folder of results, table and plot")],
    method: Annotated[
        list[str] | None, typer.Option(help="a method, such as beam:n=8,width=4 (given again for more)")
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Run several methods on the same problems: a table and the plot of accuracy against tokens."""
    from stepscore_service.jobs.search.plan import method_label, parse_method, plan_of
    from stepscore_service.jobs.search.run import run_plans

    source = _open_source(file, options.columns)
    with console.refuse_errors():
        methods = {method_label(each): each for each in map(parse_method, method or (*COMPARED, *COMPARED_TREES))}
        plans = [plan_of(each, options, settings.device, settings.dtype) for each in methods.values()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        console.fail(f"cannot make the folder {out}: {error.strerror}. Give another --out.")
    files = [out / f"{label.replace(':', '-').replace(',', '-')}.jsonl" for label in methods]
    run_plans(
        list(zip(plans, files, strict=True)),
        source,
        partial(rewards_from, settings, options.url or None),
        comparison=out,
    )


def _open_source(file: str, columns: str) -> Source:
    source = open_source(file, columns=columns)
    check_first(source, _check_row, SHAPE)
    return source


def _check_row(row: JsonRow) -> None:
    from stepscore_service.jobs.search.rows import problem_of  # loads what searches, which `--help` need not wait for

    problem_of(row)
