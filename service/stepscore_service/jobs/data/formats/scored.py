"""Rows that `stepscore score` wrote, as soft labels: the reward of a step is its label.

So the rewards of one model become what another learns from. Only probabilities can be labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.base import Format, ParseOptions
from stepscore_service.jobs.data.items import split_row
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.data.rows import truth_value
from stepscore_service.jobs.runs.source import JsonRow

NAME = "scored"


def solutions(row: JsonRow, reading: ParseOptions) -> Iterator[Labelled]:
    if row.get("rewards") is None:
        raise InvalidInput(f"'rewards' is missing{_why(row)}", field="rewards")
    outcome = truth_value(row.get("outcome"))
    known = outcome if isinstance(outcome, bool) else None
    yield soft_labelled(split_row(dict(row)).solution, row["rewards"], known)


def _why(row: JsonRow) -> str:
    error = row.get("error")
    return f": the row could not be scored ({error.get('code')})" if isinstance(error, dict) else ""


def soft_labelled(solution: Solution, rewards: Any, outcome: bool | None) -> Labelled:
    """Raises InvalidInput if the rewards are not one probability for each step."""
    if not isinstance(rewards, list) or not all(isinstance(each, int | float) for each in rewards):
        raise InvalidInput("'rewards' is not a list of numbers", field="rewards")
    if len(rewards) != len(solution.steps):
        raise InvalidInput(f"{len(rewards)} rewards for {len(solution.steps)} steps", field="rewards")
    _check_probabilities(rewards)
    return Labelled(solution, tuple(map(float, rewards)), outcome)


def _check_probabilities(rewards: Sequence[float]) -> None:
    wrong = next((each for each in rewards if not 0.0 <= each <= 1.0), None)
    if wrong is not None:
        raise InvalidInput(
            f"the reward {wrong:g} is not in [0, 1]; only the rewards of a model that gives probabilities are labels",
            field="rewards",
        )


FORMAT = Format(NAME, ("rewards",), "docs/formats.md", solutions)
