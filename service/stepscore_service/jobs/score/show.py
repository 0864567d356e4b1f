"""Solutions in the terminal: their steps coloured by reward; candidates side by side, grouped by answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stepscore.errors import InvalidInput, StepscoreError
from stepscore.types import RangeKind, Solution, colour, goodness, kind_of
from stepscore_service.jobs.data.items import candidates_row, split_candidates, split_row
from stepscore_service.jobs.data.rows import RowModel, TruthValue, read_as
from stepscore_service.jobs.runs.source import JsonRow

if TYPE_CHECKING:
    from stepscore_service.schemas.score import ScoreAnswer

BAR = 10
NARROWEST = 34
"""Characters of a candidate that stands beside others."""


@dataclass(frozen=True, slots=True)
class ShownSolution:
    """Steps with their rewards. kind: of their range. by: what gave them, in words.

    labels: of people or rollouts, if there are any.
    """

    solution: Solution
    rewards: Sequence[float]
    score: float
    weakest_step: int
    first_error: int | None
    kind: RangeKind
    by: str
    labels: Sequence[Any] = ()


class ScoredRow(RowModel):
    """What `stepscore score` wrote."""

    rewards: list[float]
    score: float
    aggregate: str
    weakest_step: int
    first_error: int | None
    model: str
    revision: str
    dtype: str = ""


class RankedEntry(RowModel):
    index: int = Field(ge=0)
    score: float
    rewards: list[float]


class AnswerEntry(RowModel):
    answer: str | None
    weight: float
    members: list[int]


class RerankedRow(RowModel):
    """What `stepscore rerank` wrote."""

    results: list[RankedEntry] = Field(min_length=1)
    groups: list[AnswerEntry]
    aggregate: str
    model: str
    revision: str
    dtype: str = ""
    correct: list[TruthValue] | None = None


def shown_answer(solution: Solution, answer: ScoreAnswer, kind: RangeKind, by: str, labels: Any) -> ShownSolution:
    """A solution that was scored just now."""
    found = labels if isinstance(labels, list) and len(labels) == len(answer.rewards) else ()
    by = f"{answer.aggregate} · {by}"
    return ShownSolution(
        solution, answer.rewards, answer.score, answer.weakest_step, answer.first_error, kind, by, found
    )


def shown_row(row: JsonRow) -> ShownSolution:
    """A row of `stepscore score` as it is. Raises InvalidInput."""
    found, solution = read_as(ScoredRow, row), split_row(row).solution
    if len(found.rewards) != len(solution.steps):
        raise InvalidInput(f"{len(found.rewards)} rewards for {len(solution.steps)} steps", field="rewards")
    labels, by = row.get("labels"), f"{found.aggregate} · {found.model}, revision {found.revision} {found.dtype}"
    given = labels if isinstance(labels, list) and len(labels) == len(found.rewards) else ()
    kind = kind_of(found.rewards)
    return ShownSolution(
        solution, found.rewards, found.score, found.weakest_step, found.first_error, kind, by.strip(), given
    )


def print_solution(shown: ShownSolution, console: Console) -> None:
    console.print(Padding(Text(shown.solution.problem, style="bold"), (0, 0, 1, 0)))
    console.print(Padding(_steps(shown), (0, 0, 1, 0)))
    console.print(Text(f"score {shown.score:.4f} ({shown.by})", style="dim"))


def print_candidates(row: JsonRow, console: Console) -> None:
    """A row of `stepscore rerank`: the groups of equal answers, heaviest first. Raises InvalidInput."""
    found, problem = read_as(RerankedRow, row), candidates_row(row).problem
    texts = _steps_of_candidates(row, found)
    ranks = {entry.index: entry for entry in found.results}
    console.print(Padding(Text(problem, style="bold"), (0, 0, 1, 0)))
    for group in found.groups:
        answer = "no final answer" if group.answer is None else f"answer {group.answer}"
        count = f"{len(group.members)} candidate{'s' if len(group.members) > 1 else ''}"
        console.print(Rule(Text(f"{answer} · weight {group.weight:.4f} · {count}"), align="left", style="dim"))
        cells = [_candidate(ranks[member], texts[member], found) for member in group.members]
        for band in _bands(cells, max(1, console.width // NARROWEST)):
            console.print(band)
    best = found.results[0]
    by = f"{found.aggregate} · {found.model}, revision {found.revision} {found.dtype}".strip()
    console.print(Text(f"best: candidate {best.index}, score {best.score:.4f} ({by})", style="dim"))


def _steps(shown: ShownSolution) -> Table:
    table = Table.grid(padding=(0, 1))
    marked = (("weakest", shown.weakest_step), ("first error", shown.first_error))
    for index, (text, reward) in enumerate(zip(shown.solution.steps, shown.rewards, strict=True)):
        marks = [mark for mark, at in marked if at == index]
        share = goodness(reward, shown.kind)
        table.add_row(
            Text(str(index), style="dim"),
            Text(f"{reward:.4f}", style=_style(share)),
            Text(("█" * round(share * BAR)).ljust(BAR, "░"), style=_style(share)),
            *((_label(shown.labels[index]),) if shown.labels else ()),
            Text(text, style=_style(share)).append(f"  ← {', '.join(marks)}" if marks else "", style="bold red"),
        )
    return table


def _label(label: Any) -> Text:
    if isinstance(label, bool) or label in (0, 1):
        return Text("sound", style="green") if label else Text("wrong", style="bold red")
    return Text("" if label is None else f"{label:.2f}" if isinstance(label, float) else str(label), style="dim")


def _steps_of_candidates(row: JsonRow, found: RerankedRow) -> dict[int, tuple[str, ...]]:
    splits = split_candidates(row)
    texts = {}
    for entry in found.results:
        split = splits[entry.index] if entry.index < len(splits) else InvalidInput("'results' names no candidate")
        if isinstance(split, StepscoreError):
            raise split
        if len(split.solution.steps) != len(entry.rewards):
            message = f"candidate {entry.index} has {len(split.solution.steps)} steps and {len(entry.rewards)} rewards"
            raise InvalidInput(message, field="results")
        texts[entry.index] = split.solution.steps
    return texts


def _candidate(entry: RankedEntry, steps: Sequence[str], found: RerankedRow) -> RenderableType:
    title = Text(f"#{entry.index}  {entry.score:.4f}", style="bold")
    if found.correct is not None and entry.index < len(found.correct):
        right = found.correct[entry.index]
        title.append("  right" if right else "  wrong", style="green" if right else "bold red")
    kind = kind_of([reward for each in found.results for reward in each.rewards])
    lines = [
        Text(f"{reward:.4f}  {step}", style=_style(goodness(reward, kind)))
        for step, reward in zip(steps, entry.rewards, strict=True)
    ]
    return Group(title, *lines, Text())


def _bands(cells: Sequence[RenderableType], columns: int) -> Iterable[Table]:
    """So many cells side by side, the others below."""
    for start in range(0, len(cells), columns):
        some = cells[start : start + columns]
        table = Table.grid(padding=(0, 3), expand=len(some) > 1)
        for _ in some:
            table.add_column(ratio=1)
        table.add_row(*some)
        yield table


def _style(share: float) -> str:
    return "rgb({},{},{})".format(*colour(share))
