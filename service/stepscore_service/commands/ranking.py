"""One row of `rerank`: its candidates scored, ordered and voted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepscore.aggregate import aggregate
from stepscore.errors import InvalidInput, StepscoreError
from stepscore.types import Reading
from stepscore.verify.answers import final_answer
from stepscore.verify.vote import vote
from stepscore_service.errors import body_of
from stepscore_service.jobs.data.items import Item, candidates_of, correct_of, text_of
from stepscore_service.jobs.data.rows import Line, Row
from stepscore_service.jobs.runs.run import error_row, kept

if TYPE_CHECKING:
    from stepscore.scoring import ModelInfo, Scoring


def rank(scorer: Scoring, lines: Sequence[Line], how: str, name: str) -> list[Row]:
    """A result row for each line. All candidates of all lines go to the scorer together."""
    rows = [_candidates(line, how) for line in lines]
    items = [item for row in rows if isinstance(row, list) for item in row if isinstance(item, Item)]
    readings = iter(scorer.score([item.solution for item in items]))
    results = []
    for line, row in zip(lines, rows, strict=True):
        if isinstance(row, StepscoreError):
            results.append(error_row(line, row))
        else:
            answers = [next(readings) if isinstance(item, Item) else item for item in row]
            results.append(_ranked(scorer.info, line, answers, name))
    return results


def _candidates(line: Line, how: str) -> list[Item | InvalidInput] | StepscoreError:
    try:
        return candidates_of(line.row(), how)
    except StepscoreError as error:
        return error


def _ranked(info: ModelInfo, line: Line, answers: Sequence[Reading | StepscoreError], name: str) -> Row:
    """A row in which one candidate cannot be scored has no ranking: leaving it out would compare unequal things."""
    failed = [(index, answer) for index, answer in enumerate(answers) if isinstance(answer, StepscoreError)]
    if failed:
        index, error = failed[0]
        return {**error_row(line, error), "candidate": index, "error": _of_candidate(index, error)}
    row = line.row()
    readings = [answer for answer in answers if isinstance(answer, Reading)]
    scores = [aggregate(reading.rewards, name, info.reward_range) for reading in readings]
    finals = [final_answer(text_of(candidate)) for candidate in row["candidates"]]
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return {
        **kept(row),
        **correct_of(row, finals),
        "line": line.number,
        "best": order[0],
        "results": [{"index": i, "score": scores[i], "rewards": readings[i].rewards} for i in order],
        "answers": finals,
        "votes": _votes(info, scores, finals),
        "aggregate": name,
        "model": info.id,
        "revision": info.revision,
    }


def _of_candidate(index: int, error: StepscoreError) -> Row:
    body = body_of(error)
    return {**body, "message": f"candidate {index}: {body['message']}"}


def _votes(info: ModelInfo, scores: Sequence[float], finals: Sequence[str | None]) -> dict[str, int]:
    """The candidate that each vote elects. The majority vote sees no scores: its ties go to the earliest."""
    weighted = vote(scores, finals, "weighted", probabilities=info.reward_range.kind == "probability")
    majority = vote([0.0] * len(finals), finals, "majority")
    return {"majority": majority[0].members[0], "weighted": weighted[0].members[0]}
