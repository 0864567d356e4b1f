"""The worst misses of every suite: rows that the model got most wrong, with their texts.

The rows of a journal hold numbers; the texts are read again from the files, of the chosen rows only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import nlargest
from pathlib import Path

from stepscore.errors import InvalidInput
from stepscore.types import RangeKind, Solution, colour, goodness
from stepscore_service.jobs.evaluate.evaluation import EvaluationPart, JournalRows, facts_for
from stepscore_service.jobs.evaluate.suites.base import Measured, Miss, MissedSolution, RewardFacts, usable
from stepscore_service.jobs.runs.source import JsonRow

WORST = 10

Found = tuple[Miss, JsonRow]


def worst_misses(
    parts: Sequence[EvaluationPart], measured: Mapping[str, Measured], model: RewardFacts | None, out: Path
) -> dict[str, list[Measured]]:
    """By suite, the worst first, as JSON. measured: the numbers of every suite."""
    found: dict[str, list[tuple[float, Measured]]] = {}
    for part in parts:
        rows = JournalRows(part.journal(out))
        facts = facts_for({part.name: rows}, model)
        worst = nlargest(
            WORST, _misses(part, rows, measured[part.suite.kind], facts), key=lambda each: each[0].severity
        )
        texts = _texts(part, {row["line"] for _, row in worst})
        shown = [(miss.severity, _describe(miss, row, part.name, texts, facts.range.kind)) for miss, row in worst]
        found.setdefault(part.suite.kind, []).extend(shown)
    return {kind: [each for _, each in nlargest(WORST, some, key=lambda each: each[0])] for kind, some in found.items()}


def _misses(part: EvaluationPart, rows: JournalRows, measured: Measured, model: RewardFacts) -> Iterator[Found]:
    for row in usable(rows):
        miss = part.suite.miss(row, measured, model)
        if miss is not None:
            yield miss, row


def _texts(part: EvaluationPart, lines: set[int]) -> dict[int, Sequence[Solution | None]]:
    """The solutions of these lines of the file; of none that no longer can be read."""
    found: dict[int, Sequence[Solution | None]] = {}
    for line in part.source.lines() if lines else ():
        if line.number in lines:
            found[line.number] = _solutions(part, line.row())
    return found


def _solutions(part: EvaluationPart, row: JsonRow) -> Sequence[Solution | None]:
    try:
        return part.suite.solutions(row)
    except InvalidInput:
        return []


def _describe(
    miss: Miss, row: JsonRow, name: str, texts: Mapping[int, Sequence[Solution | None]], kind: RangeKind
) -> Measured:
    solutions = texts.get(row["line"], [])
    held = [solutions[each.place] if each.place < len(solutions) else None for each in miss.solutions]
    row_name = f"{name}, line {row['line']}" + "".join(f", {row[key]}" for key in ("id", "idx") if key in row)
    return {
        "row": row_name,
        "what": miss.what,
        "problem": next((solution.problem for solution in held if solution), ""),
        "solutions": [_solution(each, texts, kind) for each, texts in zip(miss.solutions, held, strict=True)],
    }


def _solution(missed: MissedSolution, solution: Solution | None, kind: RangeKind) -> Measured:
    """colour: red, green and blue of the reward. text: "" if the file holds none."""
    texts = solution.steps if solution and len(solution.steps) == len(missed.rewards) else [""] * len(missed.rewards)
    steps = [
        {"reward": reward, "text": text, "mark": missed.marks.get(step, ""), "colour": colour(goodness(reward, kind))}
        for step, (reward, text) in enumerate(zip(missed.rewards, texts, strict=True))
    ]
    return {"title": missed.title, "steps": steps}
