"""One search over a file of problems: results as they end, resumable, with a page that shows the trees."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from stepscore.errors import EngineDead, GeneratorDead, StepscoreError
from stepscore.generate.prompt import PromptWriter
from stepscore.generate.protocol import Generator
from stepscore.scoring.protocol import ModelInfo
from stepscore.search.policy import SearchPolicy
from stepscore.search.rating import NodeRater
from stepscore.search.searcher import Searcher, SearchResult
from stepscore.types import Reading, Solution
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.atomic import write_text
from stepscore_service.jobs.runs.journal import FileJournal, open_journal
from stepscore_service.jobs.runs.manifest import Manifest
from stepscore_service.jobs.runs.progress import ProgressDisplay
from stepscore_service.jobs.runs.rewards import Rewards, Scored
from stepscore_service.jobs.runs.signals import StopSignals
from stepscore_service.jobs.runs.source import Source
from stepscore_service.jobs.search.plan import SearchPlan, method_label
from stepscore_service.jobs.search.rows import ProblemRows, SearchTally, result_row, rows_of

DEAD = (EngineDead, GeneratorDead)
"""Errors after which no problem of a run can be solved."""

CONTINUES = "The same command continues with the others."

SHOWN_TREES = 50
"""Trees in the page of a run: more make a page that a browser opens slowly."""


class StepReadings:
    """Rewards as a search takes them: readings without token counts. tokens: that were read for all of them."""

    def __init__(self, rewards: Rewards) -> None:
        self.info: ModelInfo = rewards.info
        self.tokens = 0
        self._rewards = rewards

    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
        answers = self._rewards.score(solutions)
        self.tokens += sum(each.tokens for each in answers if isinstance(each, Scored))
        return [each.reading if isinstance(each, Scored) else each for each in answers]


def run_search(
    plan: SearchPlan, opened: tuple[Generator, PromptWriter], rewards: Rewards, source: Source, out: Path
) -> SearchTally:
    """Search every problem that has no result yet; stops early on Ctrl-C, with what is finished on disk.

    The rows in `out` come in the order in which searches end. Raises StepscoreError if the method and the model's
    rewards do not go together, and EngineDead or GeneratorDead if the PRM or the policy is gone: problems that are not
    finished then get no row, so that the same command continues with them.
    """
    journal = open_journal(out, manifest_of(plan, rewards.info, source))
    try:
        return _search(plan, opened, rewards, source, journal)
    finally:
        journal.close()


def manifest_of(plan: SearchPlan, info: ModelInfo, source: Source) -> Manifest:
    prm = {name: info.as_dict()[name] for name in ("id", "revision", "family", "dtype")}
    columns = {"columns": ",".join(map("=".join, source.names))} if source.names else {}
    return {"command": "search", "input_sha256": source.digest, **columns, **plan.identity(), "prm": prm}


def _search(
    plan: SearchPlan,
    opened: tuple[Generator, PromptWriter],
    rewards: Rewards,
    source: Source,
    journal: FileJournal,
) -> SearchTally:
    tally, done = SearchTally(), list(rows_of(journal.path))
    for row in done:
        tally.add(row)
    problems = ProblemRows(source, frozenset(row["line"] for row in done))
    stop, readings = threading.Event(), StepReadings(rewards)
    searcher = _searcher(plan, opened, readings, stop)
    with (
        StopSignals("Stopping after this step (again to stop at once).", _setter(stop)) as signals,
        ProgressDisplay("problems", source.total, len(done)) as display,
    ):
        dead: StepscoreError | None = None
        for result in searcher.run(problems):
            if dead := dead or death_of(result):
                stop.set()
            if dead or result.stopped == "cancelled":
                continue
            row = result_row(problems.lines.pop(result.problem.key), result, method_label(plan.method))
            journal.append([row])
            tally.add(row)
            tally.prm_tokens = readings.tokens
            display.advance(detail=tally.detail)
        journal.append(problems.errors)
        for row in problems.errors:
            tally.add(row)
    if dead is not None:
        console.info(f"Stopped with {console.with_count(tally.rows, 'problem', 'problems')} finished. {CONTINUES}")
        raise dead
    if signals.requested:
        console.info(f"Stopped. Finished problems are written. {CONTINUES}")
        raise KeyboardInterrupt
    return tally


def death_of(result: SearchResult) -> StepscoreError | None:
    """The error of a search that says that no other can succeed either."""
    if isinstance(result.error, DEAD):
        return result.error
    return next((node.error for node in result.root.walk() if isinstance(node.error, DEAD)), None)


def _setter(stop: threading.Event) -> Callable[[str], None]:
    """Says that a run stops, and stops it."""

    def say(message: str) -> None:
        stop.set()
        console.info(message)

    return say


def _searcher(
    plan: SearchPlan, opened: tuple[Generator, PromptWriter], readings: StepReadings, stop: threading.Event
) -> Searcher:
    generator, prompts = opened
    return Searcher(
        SearchPolicy(generator, prompts, plan.sampling),
        NodeRater(readings, plan.method.aggregate),
        plan.method,
        final_aggregate=plan.aggregate,
        choice=plan.choice,
        budget=plan.budget,
        seed=plan.sampling.seed,
        in_flight=plan.in_flight,
        stop=stop,
    )


def page_of(out: Path) -> Path:
    """Where the page of a run's trees is, beside its results."""
    return out.with_suffix(".html")


def write_viewer(out: Path, page: Path, info: ModelInfo) -> None:
    """The trees of a run's first problems as one page."""
    rows = list(itertools.islice(rows_of(out), SHOWN_TREES))
    traces = [
        row["trace"] | ({"correct": row["correct"]} if "correct" in row else {}) for row in rows if "trace" in row
    ]
    method = rows[0]["method"] if rows else "none"
    threshold = info.threshold if info.reward_range.kind == "probability" else None
    write_text(page, viewer_page(traces, method, f"{len(traces)} problems, rewards by {info.id}", threshold))


def viewer_page(traces: Sequence[dict[str, Any]], method: str, about: str, threshold: float | None) -> str:
    """HTML that needs nothing from outside.

    traces: as `stepscore.search.searcher.trace_of` makes them, each optionally with `correct`.
    threshold: drawn as a line across the bars; None if rewards are not probabilities.
    """
    page = files("stepscore_service.jobs.search").joinpath("viewer.html").read_text(encoding="utf-8")
    run = {"method": method, "about": about, "threshold": threshold, "traces": list(traces)}
    return page.replace("__RUN__", _for_script(run))


def _for_script(value: object) -> str:
    """JSON that cannot end the script element that holds it."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
