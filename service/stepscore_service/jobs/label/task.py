"""What is labelled: a problem, what is known of its answer, and solutions that somebody has written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepscore.errors import InvalidInput, NoSteps
from stepscore.text.segment import split
from stepscore.types import Solution
from stepscore.verify.verifier import Truth
from stepscore_service.jobs.data.rows import half_pair_in
from stepscore_service.jobs.runs.run import is_result
from stepscore_service.jobs.runs.source import JsonRow, kind_of_value

_GSM8K_MARK = "####"
_SEVERAL = ("solutions", "candidates")
_SOLUTIONS = (*_SEVERAL, "solution", "steps", "completions")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A solution of a problem as it was written. ends: for each step, the characters of `text` up to the next one.

    complete: whether it was written to its end; a sampled one that ran out of tokens was not.
    """

    text: str
    steps: tuple[str, ...]
    ends: tuple[int, ...]
    complete: bool = True

    def prefix(self, steps: int) -> str:
        """The text of the first `steps` steps, with what parts the last of them from the next."""
        return self.text[: self.ends[steps - 1]] if steps else ""


@dataclass(frozen=True, slots=True)
class Task:
    """A problem to label. id: the row's own, or its line. attempts: solutions that the row brought; maybe none."""

    id: str
    line: int
    problem: str
    truth: Truth
    attempts: tuple[Attempt, ...] = ()

    def solution(self, attempt: Attempt) -> Solution:
        return Solution(self.problem, attempt.steps)


def attempt_of_text(text: str, how: str = "auto", *, complete: bool = True) -> Attempt:
    """Raises NoSteps for a blank text, UnknownSplit."""
    steps = split(text, how)
    ends = (*(step.start for step in steps[1:]), len(text))
    return Attempt(text, tuple(step.text for step in steps), ends, complete)


def attempt_of_steps(steps: Sequence[str], join: str) -> Attempt:
    """join: the text between two steps when they are read as one text."""
    ends, text = [], ""
    for step in steps:
        text += step + join
        ends.append(len(text))
    last = len(text) - len(join)
    return Attempt(text[:last], tuple(steps), (*ends[:-1], last))


def task_of(row: JsonRow, line: int, *, how: str = "auto", join: str = "\n") -> Task:
    """The task of one row of the input. Raises InvalidInput, which names the column."""
    _check_text(row)
    problem, truth = _problem(row), _truth(row)
    attempts = tuple(_attempt(given, how, join, name) for name, given in _given_solutions(row))
    _check_labels(row, attempts)
    return Task(str(row.get("id", line)), line, problem, truth, attempts)


def _check_text(row: JsonRow) -> None:
    for name in ("problem", "question", "prompt", "answer", *_SOLUTIONS):
        if half := half_pair_in(row.get(name)):
            raise InvalidInput(f'"{name}" holds {half}', field=name)


def _problem(row: JsonRow) -> str:
    name = next((name for name in ("problem", "question", "prompt") if name in row), "problem")
    found = row.get(name)
    if not isinstance(found, str) or not found.strip():
        wrong = f'"{name}" is not a text' if name in row else '"problem" (or "question") is missing'
        raise InvalidInput(f"{wrong} (columns: {', '.join(row) or 'none'})", field=name)
    return found.strip() if name == "question" else found


def _truth(row: JsonRow) -> Truth:
    """The known answer of a row; GSM8K writes it after `####` of a worked solution. Numbers are taken as texts."""
    answer = row.get("answer", "")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(answer, str):
        raise InvalidInput(f'"answer" is {kind_of_value(answer)}, not text or a number', field="answer")
    if "question" in row and _GSM8K_MARK in answer:
        answer = answer.rsplit(_GSM8K_MARK, 1)[1].strip()
    return Truth(answer, _text(row, "tests"), _text(row, "entry_point"))


def _text(row: JsonRow, name: str) -> str:
    found = row.get(name, "")
    if not isinstance(found, str):
        raise InvalidInput(f'"{name}" is {kind_of_value(found)}, not text', field=name)
    return found


def _is_count(name: str, value: Any) -> bool:
    """A row of `stepscore search` holds how many candidates it had."""
    return name == "candidates" and isinstance(value, int)


def _given_solutions(row: JsonRow) -> list[tuple[str, Any]]:
    """The row's solutions, each with the name of its column. Raises InvalidInput if two columns hold solutions."""
    names = [name for name in _SOLUTIONS if row.get(name) is not None and not _is_count(name, row[name])]
    if is_result(dict(row)) and "steps" in names:
        names = ["steps"]  # a row of `stepscore score` holds the text and the steps that it was split into
    if len(names) > 1:
        raise InvalidInput(f"give one of {', '.join(names)}, not several", field=names[1])
    if not names:
        return []
    (name,) = names
    if name not in _SEVERAL:
        return [(name, row[name])]
    if not isinstance(row[name], list):
        raise InvalidInput(f'"{name}" is not a list', field=name)
    return [(name, given) for given in row[name]]


def _attempt(given: Any, how: str, join: str, name: str) -> Attempt:
    if isinstance(given, str):
        return attempt_of_text(given, how)
    if not isinstance(given, list) or not all(isinstance(step, str) for step in given):
        raise InvalidInput(f'"{name}" holds neither a text nor a list of texts', field=name)
    if not given:
        raise NoSteps(f'"{name}" holds a solution without steps', field=name)
    return attempt_of_steps(given, join)


def _check_labels(row: JsonRow, attempts: Sequence[Attempt]) -> None:
    """Labels that a row brings are not read, but as many as steps they must be: else its steps were torn."""
    labels = row.get("labels")
    if labels is None or len(attempts) != 1:
        return
    steps = len(attempts[0].steps)
    if not isinstance(labels, list) or len(labels) != steps:
        count = len(labels) if isinstance(labels, list) else "no list of"
        raise InvalidInput(f'"labels" has {count} labels for {steps} steps', field="labels")
