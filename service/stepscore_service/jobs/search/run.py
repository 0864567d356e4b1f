"""The run behind `stepscore search`: open the policy and the PRM, search with every plan, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

import typer

from stepscore.generate.policy import open_policy
from stepscore.generate.prompt import PromptWriter
from stepscore.generate.protocol import Generator
from stepscore.scoring.protocol import ModelInfo
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.journal import refuse_unwritable
from stepscore_service.jobs.runs.rewards import Rewards
from stepscore_service.jobs.runs.source import Source
from stepscore_service.jobs.search.compare import TABLE, MethodResult, SampleMemory, result_of, write_comparison
from stepscore_service.jobs.search.job import DEAD, page_of, run_search, write_viewer
from stepscore_service.jobs.search.plan import SearchPlan, method_label
from stepscore_service.jobs.search.rows import SearchTally


def run_plans(
    plans: Sequence[tuple[SearchPlan, Path]],
    source: Source,
    rewards_of: Callable[[], AbstractContextManager[Rewards]],
    comparison: Path | None = None,
) -> None:
    """Open the policy and the PRM once, run every plan, and write the pages.

    rewards_of: opens the PRM, after what can be checked without it. comparison: the folder of its table and plot.
    Ends the command, saying what to change, if something fails.
    """
    policy, tallies = plans[0][0].policy, []
    for _, out in plans:
        refuse_unwritable(out)
        if page_of(out).is_dir() or page_of(out) == out:
            console.fail(f"the page of trees is written to {page_of(out)}, which is taken. Give another --out.")
    source.refuse_output(*(out for _, out in plans))
    with rewards_of() as rewards, console.refuse_errors():
        console.quiet_libraries()
        with console.status(f"Opening the policy {policy.model or policy.generator}"):
            generator, prompts = open_policy(policy)
        with closing(generator):
            opened = (SampleMemory(generator) if comparison else generator, prompts)
            for plan, out in plans:
                tallies.append(_run_plan(plan, out, opened, rewards, source))
        if comparison is not None:
            labels = [method_label(plan.method) for plan, _ in plans]
            _write_comparison(comparison, list(map(result_of, labels, tallies)), plans[0][0], rewards.info)
    if failed := sum(tally.failed for tally in tallies):
        console.fail(f"{failed} problems ended with an error; their rows say which.", console.ROWS_FAILED)


def _run_plan(
    plan: SearchPlan, out: Path, opened: tuple[Generator, PromptWriter], rewards: Rewards, source: Source
) -> SearchTally:
    console.info(f"{method_label(plan.method)}: {out}")
    try:
        tally = run_search(plan, opened, rewards, source, out)
    except KeyboardInterrupt:
        raise typer.Exit(console.INTERRUPTED) from None
    except DEAD as error:
        console.fail_with(error, console.ENGINE_FAILED)
    page = page_of(out)
    write_viewer(out, page, rewards.info)
    console.info(f"{console.with_count(tally.rows, 'problem')}, {tally.detail}. Trees: {page}")
    return tally


def _write_comparison(out: Path, results: Sequence[MethodResult], plan: SearchPlan, info: ModelInfo) -> None:
    about = {
        "policy": f"{plan.policy.model or plan.policy.generator}, temperature {plan.sampling.temperature}",
        "rewards": f"{info.id} ({info.family}), revision {info.revision}, {info.dtype}",
        "seed": plan.sampling.seed,
    }
    try:
        write_comparison(out, results, about)
    except ModuleNotFoundError as error:
        console.fail(f"the plot needs {error.name}: pip install 'stepscore[evaluate]'. The table is in {out}.")
    console.show_result((out / TABLE).read_text(encoding="utf-8"))
