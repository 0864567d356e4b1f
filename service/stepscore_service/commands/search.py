"""`stepscore search`: problems solved by a policy guided by a PRM; `search compare`: methods side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.core import TyperGroup

from stepscore.errors import StepscoreError
from stepscore_service.commands.flags import MODEL_FLAGS, with_options, with_settings
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.first_row import check_first
from stepscore_service.jobs.runs.journal import refuse_unwritable
from stepscore_service.jobs.runs.rewards import rewards_from
from stepscore_service.jobs.runs.source import ColumnsFlag, JsonRow, Source, open_source, results_name
from stepscore_service.settings import Settings

if TYPE_CHECKING:
    from stepscore.generate.prompt import PromptWriter
    from stepscore.generate.protocol import Generator
    from stepscore.scoring.protocol import ModelInfo
    from stepscore.search.methods import SearchMethod
    from stepscore_service.jobs.runs.rewards import Rewards
    from stepscore_service.jobs.search.compare import MethodResult
    from stepscore_service.jobs.search.plan import SearchPlan
    from stepscore_service.jobs.search.rows import SearchTally

SHAPE = 'an object like {"problem": "…", "answer": "…"}'
DEFAULT_POLICY = "qwen2.5-coder-0.5b"
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


@dataclass(frozen=True, slots=True)
class SearchFlags:
    """What both commands take."""

    PANEL: ClassVar[str] = "Search"

    columns: ColumnsFlag = ""
    policy: Annotated[
        str,
        typer.Option(
            help="policy that writes solutions: qwen2.5-coder-0.5b, qwen2.5-coder-1.5b, smollm2, a folder, a Hub id, "
            "vllm:MODEL, or URL[#NAME] of a server"
        ),
    ] = DEFAULT_POLICY
    prompt: Annotated[str, typer.Option(help="prompt of the policy, with {problem}; default its chat template")] = ""
    url: Annotated[
        str, typer.Option(help="a running service that scores, as URL or URL#MODEL; by default --model scores")
    ] = ""
    separator: Annotated[str, typer.Option(help="text that ends a step; \\n is a line break")] = "\\n\\n"
    policy_temperature: Annotated[float, typer.Option(min=0.0, help="sampling temperature of the policy")] = 0.8
    step_tokens: Annotated[int, typer.Option(min=1, help="longest step in tokens")] = 256
    solution_tokens: Annotated[
        int, typer.Option(min=1, help="longest completion that is sampled in one call, in tokens")
    ] = 1024
    budget_tokens: Annotated[int, typer.Option(min=0, help="policy tokens for one problem; 0 sets no limit")] = 0
    budget_rounds: Annotated[int, typer.Option(min=0, help="calls of the policy for one problem; 0 sets no limit")] = 0
    budget_seconds: Annotated[float, typer.Option(min=0.0, help="seconds for one problem; 0 sets no limit")] = 0.0
    choice: Annotated[
        str, typer.Option(help="how the winner is chosen: score, weighted, majority or first; default the method's")
    ] = ""
    aggregate: Annotated[str, typer.Option(help="aggregate of step rewards for the choice; default the model's")] = ""
    seed: Annotated[int, typer.Option(help="the same seed gives the same search")] = 0
    in_flight: Annotated[int, typer.Option(min=1, help="problems that are searched at once")] = 8


@app.command("run")
@with_settings(only=MODEL_FLAGS)
@with_options
def run(
    file: Annotated[str, typer.Argument(help="JSONL of problems, each optionally with its answer", metavar="FILE")],
    flags: SearchFlags,
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
    from stepscore_service.jobs.search.plan import parse_method

    source = _opened_source(file, flags.columns)
    with _refusing():
        plan = _plan(parse_method(method, n=n, width=width), flags, settings)
    _run_plans([(plan, out or results_name(file, "search.jsonl"))], source, settings, flags.url)


@app.command("compare")
@with_settings(only=MODEL_FLAGS)
@with_options
def compare(
    file: Annotated[str, typer.Argument(help="JSONL of problems with their answers", metavar="FILE")],
    flags: SearchFlags,
    out: Annotated[Path, typer.Option(help="folder of results, table and plot")],
    method: Annotated[
        list[str] | None, typer.Option(help="a method, such as beam:n=8,width=4 (given again for more)")
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Run several methods on the same problems: a table and the plot of accuracy against tokens."""
    from stepscore_service.jobs.search.plan import method_label, parse_method

    source = _opened_source(file, flags.columns)
    with _refusing():
        methods = {method_label(each): each for each in map(parse_method, method or (*COMPARED, *COMPARED_TREES))}
        plans = [_plan(each, flags, settings) for each in methods.values()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        console.fail(f"cannot make the folder {out}: {error.strerror}. Give another --out.")
    files = [out / f"{label.replace(':', '-').replace(',', '-')}.jsonl" for label in methods]
    _run_plans(list(zip(plans, files, strict=True)), source, settings, flags.url, comparison=out)


def _opened_source(file: str, columns: str) -> Source:
    source = open_source(file, columns=columns)
    check_first(source, _check_row, SHAPE)
    return source


def _check_row(row: JsonRow) -> None:
    from stepscore_service.jobs.search.rows import problem_of  # loads what searches, which `--help` need not wait for

    problem_of(row)


@contextmanager
def _refusing() -> Iterator[None]:
    """Options that do not go together end the command."""
    try:
        yield
    except StepscoreError as error:
        console.fail_with(error)


def _plan(method: SearchMethod, flags: SearchFlags, settings: Settings) -> SearchPlan:
    """Raises InvalidOption."""
    from stepscore.generate.policy import policy_at
    from stepscore.search.policy import StepSampling
    from stepscore.search.searcher import SearchBudget
    from stepscore_service.jobs.search.plan import SearchPlan

    policy = policy_at(flags.policy, flags.prompt, settings.device, settings.dtype)
    policy.check()
    sampling = StepSampling(
        separator=flags.separator.replace("\\n", "\n"),
        temperature=flags.policy_temperature,
        step_tokens=flags.step_tokens,
        solution_tokens=flags.solution_tokens,
        seed=flags.seed,
    )
    budget = SearchBudget(flags.budget_tokens, flags.budget_rounds, flags.budget_seconds)
    return SearchPlan(method, policy, sampling, budget, flags.aggregate, flags.choice, flags.in_flight)


def _run_plans(
    plans: Sequence[tuple[SearchPlan, Path]],
    source: Source,
    settings: Settings,
    url: str,
    comparison: Path | None = None,
) -> None:
    """Open the policy and the PRM once, run every plan, and write the pages."""
    from stepscore.generate.policy import open_policy
    from stepscore_service.jobs.search.compare import SampleMemory, result_of
    from stepscore_service.jobs.search.job import page_of
    from stepscore_service.jobs.search.plan import method_label

    policy, tallies = plans[0][0].policy, []
    for _, out in plans:
        refuse_unwritable(out)
        if page_of(out).is_dir() or page_of(out) == out:
            console.fail(f"the page of trees is written to {page_of(out)}, which is taken. Give another --out.")
    source.refuse_output(*(out for _, out in plans))
    with rewards_from(settings, url or None) as rewards, _refusing():
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
    from stepscore_service.jobs.search.job import DEAD, page_of, run_search, write_viewer
    from stepscore_service.jobs.search.plan import method_label

    console.info(f"{method_label(plan.method)}: {out}")
    try:
        tally = run_search(plan, opened, rewards, source, out)
    except KeyboardInterrupt:
        raise typer.Exit(console.INTERRUPTED) from None
    except DEAD as error:
        console.fail_with(error, console.ENGINE_FAILED)
    page = page_of(out)
    write_viewer(out, page, rewards.info)
    console.info(f"{console.counted(tally.rows, 'problem')}, {tally.detail}. Trees: {page}")
    return tally


def _write_comparison(out: Path, results: Sequence[MethodResult], plan: SearchPlan, info: ModelInfo) -> None:
    from stepscore_service.jobs.search.compare import TABLE, write_comparison

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
