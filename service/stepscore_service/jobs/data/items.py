"""Rows of files as requests, the same for every command: one solution (`steps` or `solution`), or candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stepscore.errors import InvalidInput
from stepscore.text.segment import split_steps
from stepscore.types import SolutionRequest, SplitSolution
from stepscore.verify.answers import known_answer, read_answer
from stepscore.verify.math_verifier import reaches_truth
from stepscore_service.jobs.data.rows import CandidatesRow, SolutionRow, columns_of, read_as
from stepscore_service.jobs.runs.run import is_result
from stepscore_service.jobs.runs.source import JsonRow


def request_of(row: JsonRow, split: str = "auto") -> SolutionRequest:
    """The solution of a row; `split` in the row wins over the argument.

    A row of `stepscore score` holds a text and the steps that it was split into, which are read. Raises InvalidInput.
    """
    found = read_as(SolutionRow, row)
    if found.steps is not None and (found.solution is None or is_result(row)):
        return SolutionRequest(found.problem, tuple(found.steps))
    if found.solution is None or found.steps is not None:
        both = "not both" if found.steps is not None else "one is missing"
        message = f'give "steps" or "solution" beside "problem"; {both} (columns: {columns_of(row)})'
        raise InvalidInput(message, field="steps")
    return SolutionRequest(found.problem, found.solution, found.split or split)


def split_row(row: JsonRow, split: str = "auto") -> SplitSolution:
    """The solution of a row in steps. Raises InvalidInput."""
    return split_steps(request_of(row, split))


def candidates_row(row: JsonRow) -> CandidatesRow:
    """A problem with its candidates. Raises InvalidInput."""
    found = read_as(CandidatesRow, row)
    if found.correct is not None and len(found.correct) != len(found.candidates):
        wanted = f'"correct" is not a list of {len(found.candidates)} true/false, one per candidate'
        raise InvalidInput(wanted, field="correct")
    return found


def split_candidates(row: JsonRow, split: str = "auto") -> list[SplitSolution | InvalidInput]:
    """Each candidate of a row in steps, or its own error; `split` in the row wins over the argument.

    Raises InvalidInput if the row itself is wrong.
    """
    found = candidates_row(row)
    return [_split_candidate(found.problem, candidate, found.split or split) for candidate in found.candidates]


def text_of(candidate: str | Sequence[str]) -> str:
    """The candidate as one text, for finding its final answer."""
    return candidate if isinstance(candidate, str) else "\n".join(candidate)


def correct_of(row: JsonRow, texts: Iterable[str]) -> JsonRow:
    """`correct` from the row's `answer`, by comparing final answers with it; nothing if `correct` is given.

    texts: of the candidates.
    """
    if "correct" in row or not isinstance(row.get("answer"), str | int | float):
        return {}
    wanted = known_answer(str(row["answer"]))
    finals = map(read_answer, texts)
    return {"correct": [final is not None and reaches_truth(final, wanted) is True for final in finals]}


def _split_candidate(problem: str, candidate: str | list[str], split: str) -> SplitSolution | InvalidInput:
    given = candidate if isinstance(candidate, str) else tuple(candidate)
    try:
        return split_steps(SolutionRequest(problem, given, split))
    except InvalidInput as error:
        return error
