"""One solution from a row: `steps` as they are, or `solution` split. The same for every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepscore.errors import InvalidInput, NoSteps
from stepscore.text.segment import split
from stepscore.types import Solution
from stepscore.verify.answers import final_answer, same_answer
from stepscore_service.jobs.data.rows import Row, text_field


@dataclass(frozen=True, slots=True)
class Item:
    """A solution and, where it was split from text, the characters [start, end) of each step."""

    solution: Solution
    spans: tuple[tuple[int, int], ...] | None


def item_of(row: Row, how: str = "auto") -> Item:
    """The solution of a row. Raises InvalidInput. `split` in the row wins over `how`."""
    problem = text_field(row, "problem")
    if ("steps" in row) == ("solution" in row):
        have = ", ".join(row)
        raise InvalidInput(f'give either "steps" or "solution" beside "problem" (columns: {have})', field="steps")
    if "steps" in row:
        return Item(Solution(problem, _texts(row["steps"], "steps")), None)
    ways = text_field(row, "split") if "split" in row else how
    return item_of_text(problem, text_field(row, "solution"), ways)


def item_of_text(problem: str, text: str, how: str) -> Item:
    steps = split(text, how)
    spans = tuple((step.start, step.end) for step in steps)
    return Item(Solution(problem, tuple(step.text for step in steps)), spans)


def candidates_of(row: Row, how: str = "auto") -> list[Item | InvalidInput]:
    """The candidates of a row, each an item or its own error. Raises InvalidInput where the row itself is wrong."""
    problem = text_field(row, "problem")
    given = row.get("candidates")
    if not isinstance(given, list) or not given:
        raise InvalidInput(f'"candidates" is no list of solutions (columns: {", ".join(row)})', field="candidates")
    correct = row.get("correct")
    if correct is not None and not _flags(correct, len(given)):
        raise InvalidInput(f'"correct" is no list of {len(given)} true/false, one per candidate', field="correct")
    return [_candidate(problem, candidate, how) for candidate in given]


def text_of(candidate: Any) -> str:
    """The candidate as one text, for finding its final answer."""
    return candidate if isinstance(candidate, str) else "\n".join(map(str, candidate))


def correct_of(row: Row, finals: Sequence[str | None]) -> Row:
    """`correct` as given, else by comparing final answers with the row's `answer`, where there is one."""
    if "correct" in row or not isinstance(row.get("answer"), str | int | float):
        return {}
    wanted = final_answer(str(row["answer"])) or str(row["answer"])
    return {"correct": [final is not None and same_answer(wanted, final) for final in finals]}


def _candidate(problem: str, candidate: Any, how: str) -> Item | InvalidInput:
    try:
        if isinstance(candidate, str):
            return item_of_text(problem, candidate, how)
        return Item(Solution(problem, _texts(candidate, "candidates")), None)
    except InvalidInput as error:
        return error


def _texts(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(step, str) for step in value):
        raise InvalidInput(f'"{field}" must be a list of texts', field=field)
    if not value:
        raise NoSteps("The solution holds no step.", field=field)
    return tuple(value)


def _flags(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(isinstance(flag, bool) for flag in value)
