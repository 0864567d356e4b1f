"""Labels of people in PRM800K's format (github.com/openai/prm800k), out and in.

Out: one row for each solution, one completion for each step, which is the chosen one; a rating of null waits for a
person. The column `stepscore` holds what the format has no place for. In: any row of the format; how its trajectory and
alternatives are read is the training format's affair. The rating 0 ("neutral": neither wrong nor any progress) is
read as its reader decides: TRL takes it for wrong, Qwen's PRM800K model for sound, and null leaves the step unjudged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, Literal

from stepscore_service.jobs.data.formats import prm800k
from stepscore_service.jobs.data.formats.base import ParseOptions
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.runs.source import JsonRow

Neutral = Literal["good", "bad", "null"]

OWN = "stepscore"
_RATINGS = {1.0: 1, 0.0: -1}


def to_prm800k(labelled: Labelled, ask: Collection[int] | None = None) -> dict[str, Any]:
    """The row for people. ask: the steps to label, which get no rating; None asks for those without a label.

    A soft label is not a rating: its step is written without one.
    """
    asked = [step for step, label in enumerate(labelled.labels) if label is None] if ask is None else sorted(ask)
    ratings = [None if step in asked else _RATINGS.get(label) for step, label in enumerate(_numbers_of(labelled))]
    steps = labelled.solution.steps
    return {
        "labeler": None,
        "timestamp": None,
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": labelled.solution.problem,
            "ground_truth_answer": None,
            "pre_generated_steps": list(steps),
        },
        "label": {
            "steps": [_step(text, rating) for text, rating in zip(steps, ratings, strict=True)],
            "total_time": None,
            "finish_reason": None,
        },
        OWN: {"ask": asked, "outcome": labelled.outcome, "extras": dict(labelled.extras)},
    }


def of_prm800k(row: JsonRow, neutral: Neutral) -> Iterator[Labelled]:
    """The trajectory of a row, and each alternative as a solution whose last step alone is judged.

    Raises InvalidInput, which names what is wrong.
    """
    given = _without_neutral(row) if neutral == "null" else row
    own = row.get(OWN) or {}
    extras = {**own.get("extras", {}), **({"labeler": row["labeler"]} if row.get("labeler") else {})}
    for labelled in prm800k.solutions(given, ParseOptions(zero_is_good=neutral == "good")):
        yield replace(labelled, outcome=own.get("outcome"), extras=extras)


def _numbers_of(labelled: Labelled) -> tuple[float, ...]:
    """Labels as numbers; -1 for a step without one, which has no rating."""
    return tuple(-1.0 if label is None else label for label in labelled.labels)


def _step(text: str, rating: int | None) -> dict[str, Any]:
    completion = {"text": text, "rating": rating, "flagged": None}
    return {"completions": [completion], "human_completion": None, "chosen_completion": 0}


def _without_neutral(row: JsonRow) -> JsonRow:
    """The same row with null for every rating 0. What has another shape stays, for the reader to refuse."""
    label = row.get("label")
    if not isinstance(label, dict) or not isinstance(label.get("steps"), list):
        return row
    return {**row, "label": {**label, "steps": [_without_neutral_ratings(step) for step in label["steps"]]}}


def _without_neutral_ratings(step: Any) -> Any:
    if not isinstance(step, dict) or not isinstance(step.get("completions"), list):
        return step
    return {**step, "completions": [_neutral_to_null(each) for each in step["completions"]]}


def _neutral_to_null(completion: Any) -> Any:
    if isinstance(completion, dict) and completion.get("rating") == 0:
        return {**completion, "rating": None}
    return completion
