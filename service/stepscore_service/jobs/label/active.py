"""Active selection: the steps of which a model is least certain, for people to label.

Certainty is read from the step reward alone. entropy: of the reward as a probability, in bits, largest at 0.5. margin:
how near the reward is to the model's threshold, for rewards of any range. What is chosen depends on the rewards and
the order of the rows and on nothing else.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stepscore.aggregate import check_threshold
from stepscore.errors import InvalidInput, StepscoreError, map_ok
from stepscore.types import RewardRange, Solution
from stepscore_service.jobs.data.items import split_row
from stepscore_service.jobs.data.labelled import is_labelled, of_row
from stepscore_service.jobs.runs.rewards import Rewards, ScoredOrError
from stepscore_service.jobs.runs.run import error_cell
from stepscore_service.jobs.runs.source import JsonRow, Line

Measure = Literal["entropy", "margin"]
Uncertainty = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Asked:
    """A step that somebody should label. uncertainty: larger is less certain; its scale is the measure's."""

    step: int
    reward: float
    uncertainty: float


def uncertainty_of(measure: Measure, range_: RewardRange, threshold: float) -> Uncertainty:
    """Raises InvalidInput for a threshold outside the range, and for entropy if the rewards are not probabilities."""
    check_threshold(threshold, range_)
    if measure == "margin":
        return lambda reward: -abs(reward - threshold)
    if range_.kind != "probability":
        raise InvalidInput(
            f"rewards that are a {range_.kind} have no entropy; choose the measure margin", measure=measure
        )
    return _entropy


def solution_of(row: JsonRow, split: str) -> Solution:
    """The solution of a labelled row or of one to score. Raises InvalidInput."""
    return of_row(row).solution if is_labelled(row) else split_row(row, split).solution


def score_lines(rewards: Rewards, split: str, lines: Sequence[Line]) -> list[JsonRow]:
    """The rewards of each line, or its error, in order. Raises EngineError if the whole call failed."""
    answers = map_ok([_solution(line, split) for line in lines], rewards.score)
    return [{"line": line.number, **_outcome(answer)} for line, answer in zip(lines, answers, strict=True)]


def choose(
    scored: Iterable[tuple[int, Sequence[float]]],
    uncertainty: Uncertainty,
    budget: int,
    *,
    one_per_solution: bool = False,
) -> Mapping[int, list[Asked]]:
    """The `budget` least certain steps by row number, each row's in order of its steps.

    scored: row numbers and rewards. Among equals the earlier row and step win. Memory grows with the budget alone.
    """
    chosen: dict[int, list[Asked]] = defaultdict(list)
    for _, row, _, asked in heapq.nlargest(budget, _candidates(scored, uncertainty, one_per_solution), key=_order):
        chosen[row].append(asked)
    return {row: sorted(steps, key=lambda asked: asked.step) for row, steps in sorted(chosen.items())}


Candidate = tuple[float, int, int, Asked]


def _candidates(
    scored: Iterable[tuple[int, Sequence[float]]], uncertainty: Uncertainty, one_per_solution: bool
) -> Iterator[Candidate]:
    for row, rewards in scored:
        steps = [Asked(step, reward, uncertainty(reward)) for step, reward in enumerate(rewards)]
        if one_per_solution and steps:
            steps = [max(steps, key=lambda asked: (asked.uncertainty, -asked.step))]
        yield from ((asked.uncertainty, row, asked.step, asked) for asked in steps)


def _order(candidate: Candidate) -> tuple[float, int, int]:
    uncertainty, row, step, _ = candidate
    return uncertainty, -row, -step


def _entropy(p: float) -> float:
    """In bits; 0 at 0 and 1."""
    return -sum(q * math.log2(q) for q in (p, 1.0 - p) if q > 0.0)


def _outcome(answer: ScoredOrError) -> JsonRow:
    return {"error": error_cell(answer)} if isinstance(answer, StepscoreError) else {"rewards": answer.reading.rewards}


def _solution(line: Line, split: str) -> Solution | StepscoreError:
    try:
        return solution_of(line.row(), split)
    except StepscoreError as error:
        return error
