"""How often a verifier is wrong, on solutions that somebody has judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stepscore.errors import InvalidInput
from stepscore.verify.answers import final_answer
from stepscore.verify.verifier import AnswerOutcome, Truth, Verifier
from stepscore_service.jobs.data.rows import AnswerRow, column_of, read_as, text_field, truth_value
from stepscore_service.jobs.metrics.interval import Rate
from stepscore_service.jobs.runs import atomic
from stepscore_service.jobs.runs.journal import read_rows
from stepscore_service.jobs.runs.run import error_row
from stepscore_service.jobs.runs.source import JsonRow, Line, kind_of_value

RATES = ("false_positives", "false_negatives", "unreadable_wrong", "unreadable_right")
"""The fields of `Errors`."""


@dataclass(frozen=True, slots=True)
class Case:
    """A solution that somebody has judged. name: which one of its row."""

    name: str
    solution: str
    correct: bool


@dataclass(frozen=True, slots=True)
class Errors:
    """false_positives: wrong solutions called right. false_negatives: right ones called wrong.

    unreadable_wrong, unreadable_right: of either kind those that the verifier left open.
    """

    false_positives: Rate
    false_negatives: Rate
    unreadable_wrong: Rate
    unreadable_right: Rate


def errors_of(judged: Iterable[tuple[bool, AnswerOutcome]]) -> Errors:
    """From pairs of what a solution is and what the verifier says of it."""
    counts = {(correct, outcome): 0 for correct in (True, False) for outcome in ("right", "wrong", "unreadable")}
    for pair in judged:
        counts[pair] += 1
    right = sum(count for (correct, _), count in counts.items() if correct)
    wrong = sum(counts.values()) - right
    return Errors(
        false_positives=Rate(counts[False, "right"], wrong),
        false_negatives=Rate(counts[True, "wrong"], right),
        unreadable_wrong=Rate(counts[False, "unreadable"], wrong),
        unreadable_right=Rate(counts[True, "unreadable"], right),
    )


def verify_rows(verifier: Verifier, lines: Sequence[Line]) -> list[JsonRow]:
    """A result row for each line, in order: what the verifier says of each of its solutions."""
    return [_verify(verifier, line) for line in lines]


def check_row(row: JsonRow) -> None:
    """Raises InvalidInput if it holds no judged solutions, or nothing that they could be compared with."""
    cases_of(row)
    truth_of(row)


def cases_of(row: JsonRow) -> list[Case]:
    """The judged solutions of a row. Raises InvalidInput."""
    published = [(name, value) for name, value in row.items() if isinstance(value, dict) and "is_correct" in value]
    if published:
        return [_case(name, value.get("solution"), value["is_correct"]) for name, value in published]
    if "candidates" not in row:
        return [_case("solution", column_of(row, "solution"), column_of(row, "correct"))]
    candidates, correct = row["candidates"], column_of(row, "correct")
    if not isinstance(candidates, list) or not isinstance(correct, list) or len(candidates) != len(correct):
        raise InvalidInput('"candidates" and "correct" must be lists of one length', field="correct")
    return [_case(str(at), each, right) for at, (each, right) in enumerate(zip(candidates, correct, strict=True))]


def truth_of(row: JsonRow) -> Truth:
    """What is known of the problem; of a worked solution (`ground_truth`) its final answer. Raises InvalidInput."""
    if "ground_truth" in row:
        return Truth(final_answer(text_field(row, "ground_truth")) or "")
    given: dict[str, str] = {name: text_field(row, name) for name in ("tests", "entry_point") if name in row}
    if "answer" in row:
        given["answer"] = read_as(AnswerRow, row).answer
    if not given.get("answer") and not given.get("tests"):
        raise InvalidInput(f'"answer" or "tests" is missing (columns: {", ".join(row) or "none"})', field="answer")
    return Truth(**given)


def _case(name: str, solution: Any, correct: Any) -> Case:
    text = "\n".join(solution) if isinstance(solution, list) and all(isinstance(s, str) for s in solution) else solution
    if not isinstance(text, str):
        raise InvalidInput(
            f"solution {name} is {kind_of_value(solution)}, not a text or a list of texts", field="solution"
        )
    if not isinstance(correct := truth_value(correct), bool):
        raise InvalidInput(
            f"whether solution {name} is correct must be true or false, not {kind_of_value(correct)}", field="correct"
        )
    return Case(name, text, correct)


def judgements(path: Path) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each solution of the results with its row."""
    for row in read_rows(path):
        for one in row.get("judged", ()):
            yield row, one


def errors_in(path: Path) -> Errors:
    """What the results say about the verifier."""
    return errors_of((one["correct"], one["outcome"]) for _, one in judgements(path))


def rates_of(errors: Errors) -> list[tuple[str, Rate]]:
    return [(name, getattr(errors, name)) for name in RATES]


def write_summary(path: Path, errors: Errors) -> None:
    """The rates with their intervals, as JSON beside the results. Raises OSError."""
    rates = rates_of(errors)
    summary = {name: {**asdict(rate), "share": rate.share, "interval": rate.interval} for name, rate in rates}
    atomic.write_text(path.with_suffix(".summary.json"), json.dumps(summary, indent=1) + "\n")


def _verify(verifier: Verifier, line: Line) -> JsonRow:
    try:
        row = line.row()
        cases, truth = cases_of(row), truth_of(row)
        found = verifier.verify([case.solution for case in cases], truth)
    except InvalidInput as error:
        return error_row(line, error)
    judged = [
        {
            "name": case.name,
            "correct": case.correct,
            "outcome": one.outcome,
            "found": one.found,
            "reader": one.reader,
            "reason": one.reason,
        }
        for case, one in zip(cases, found, strict=True)
    ]
    return {"line": line.number, "truth": truth.answer, "judged": judged}
