"""Rows of files as requests, the same for every command: one solution (`steps` or `solution`), or candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepscore.errors import InvalidInput
from stepscore.verify.answers import known_answer
from stepscore.verify.math_verifier import equal_to_truth
from stepscore_service.batching.encoding import SolutionRequest, SplitSolution, split_steps
from stepscore_service.jobs.data.rows import text_field
from stepscore_service.jobs.runs.source import JsonRow


def request_of(row: JsonRow, split: str = "auto") -> SolutionRequest:
    """The solution of a row; `split` in the row wins over the argument. Raises InvalidInput."""
    problem = text_field(row, "problem")
    if ("steps" in row) == ("solution" in row):
        have = ", ".join(row)
        raise InvalidInput(f'give either "steps" or "solution" beside "problem" (columns: {have})', field="steps")
    if "steps" in row:
        if not _is_texts(row["steps"]):
            raise InvalidInput('"steps" must be a list of texts', field="steps")
        return SolutionRequest(problem, tuple(row["steps"]))
    return SolutionRequest(problem, text_field(row, "solution"), text_field(row, "split") if "split" in row else split)


def split_row(row: JsonRow, split: str = "auto") -> SplitSolution:
    """The solution of a row in steps. Raises InvalidInput."""
    return split_steps(request_of(row, split))


def candidates_of(row: JsonRow) -> list[str | list[str]]:
    """The candidates of a row, each a text or a list of steps. Raises InvalidInput."""
    given = row.get("candidates")
    if not isinstance(given, list) or not given:
        raise InvalidInput(f'"candidates" is not a list of solutions (columns: {", ".join(row)})', field="candidates")
    correct = row.get("correct")
    if correct is not None and not _is_flags(correct, len(given)):
        raise InvalidInput(f'"correct" is not a list of {len(given)} true/false, one per candidate', field="correct")
    for index, candidate in enumerate(given):
        if not isinstance(candidate, str) and not _is_texts(candidate):
            message = f"candidate {index} must be a text or a list of texts"
            raise InvalidInput(message, field="candidates", index=index)
    return given


def split_candidates(row: JsonRow, split: str = "auto") -> list[SplitSolution | InvalidInput]:
    """Each candidate of a row in steps, or its own error. Raises InvalidInput if the row itself is wrong."""
    problem = text_field(row, "problem")
    return [_split_candidate(problem, candidate, split) for candidate in candidates_of(row)]


def text_of(candidate: str | Sequence[str]) -> str:
    """The candidate as one text, for finding its final answer."""
    return candidate if isinstance(candidate, str) else "\n".join(candidate)


def correct_of(row: JsonRow, finals: Sequence[str | None]) -> JsonRow:
    """`correct` from the row's `answer`, by comparing final answers with it; nothing if `correct` is given.

    finals: the final answer of each candidate.
    """
    if "correct" in row or not isinstance(row.get("answer"), str | int | float):
        return {}
    wanted = known_answer(str(row["answer"]))
    return {"correct": [final is not None and equal_to_truth(final, wanted) is True for final in finals]}


def _split_candidate(problem: str, candidate: str | list[str], split: str) -> SplitSolution | InvalidInput:
    given = candidate if isinstance(candidate, str) else tuple(candidate)
    try:
        return split_steps(SolutionRequest(problem, given, split))
    except InvalidInput as error:
        return error


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_flags(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(isinstance(flag, bool) for flag in value)
