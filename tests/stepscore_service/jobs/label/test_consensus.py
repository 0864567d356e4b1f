"""Consensus: kept where labels and judge see the first error at one step; what cannot be compared is counted apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from label_case import RIGHT, WRONG, ScriptedPolicy, plan, scripted
from stepscore.errors import NoVerdict, StepscoreError
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading, Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.filtering import compare, count_agreements, is_open
from stepscore_service.jobs.label.options import FilterOptions
from stepscore_service.jobs.label.shard import Shard, counts_of
from stepscore_service.jobs.label.task import task_of


class Reads:
    """Rewards are written in the steps themselves; a step "?" cannot be scored."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def score(self, solutions: Sequence[Solution]) -> list[Reading | StepscoreError]:
        self.calls.append(len(solutions))
        return [_reading(solution) for solution in solutions]


def _reading(solution: Solution) -> Reading | StepscoreError:
    if "?" in solution.steps:
        return NoVerdict("no verdict")
    return Reading(tuple(map(float, solution.steps)))


def row(steps: str, *labels: float | None) -> Labelled:
    return Labelled(Solution("p", tuple(steps.split())), labels)


ROWS = [
    row("0.9 0.8", 1.0, 1.0),
    row("0.9 0.1", 1.0, 0.0),
    row("0.1 0.1", 1.0, 0.0),
    row("0.9 0.9", 1.0, 0.0),
    row("0.9 ?", 1.0, 1.0),
    row("0.9 0.1", None, 0.0),
    row("0.9 0.1 0.9", 1.0, 0.0, None),
]


def test_rows_are_kept_where_both_see_the_same_first_error() -> None:
    compared = list(compare(ROWS, Reads(), threshold=0.5))
    assert [each.agreement for each in compared] == [
        "agree_sound",
        "agree_error",
        "disagree",
        "disagree",
        "unscored",
        "open",
        "agree_error",
    ]
    assert [each.labelled for each in compared if each.kept] == [ROWS[0], ROWS[1], ROWS[6]]
    assert (compared[2].labels, compared[2].judge) == (1, 0)
    assert (compared[3].labels, compared[3].judge) == (1, None)
    assert isinstance(compared[4].error, NoVerdict)
    assert count_agreements(compared) == {"agree_sound": 1, "agree_error": 2, "disagree": 2, "unscored": 1, "open": 1}


@pytest.mark.parametrize(
    ("labels", "error_below", "agreement"),
    [
        ((0.375, 0.0, 0.0), 0.0, "agree_error"),
        ((0.375, 0.0, 0.0), 0.5, "disagree"),
        ((0.375, 0.4, 1.0), 0.0, "disagree"),
        ((0.5, 0.4, 1.0), 0.5, "agree_error"),
    ],
)
def test_a_soft_label_is_an_error_at_zero_or_below_the_stated_one(
    labels: tuple[float, ...], error_below: float, agreement: str
) -> None:
    labelled = row("0.9 0.1 0.1", *labels)
    (compared,) = compare([labelled], Reads(), 0.5, error_below)
    assert compared.agreement == agreement
    has_error = 0.0 in labels or min(labels) < error_below
    assert counts_of([labelled], 1, error_below)["rows_with_error"] == has_error


@pytest.mark.parametrize("error_below", [0.0, 0.5])
def test_a_run_counts_and_compares_errors_by_its_own_rule(error_below: float) -> None:
    """Both steps have a right rollout; the first one's share is below 0.5. The judge sees the error there."""
    endings = iter([(RIGHT, "stop"), (WRONG, "stop"), (WRONG, "stop")])
    chosen = replace(plan(labels="soft", k=3), filters=FilterOptions(consensus="judge", error_below=error_below))
    made = scripted(chosen, lambda rollouts: None, ScriptedPolicy(lambda prefix, number, rng: next(endings)))
    labeller = replace(made, judge=cast(Scoring, SeesTheFirst()))
    finished = labeller.label(Shard(0, (task_of({"problem": "?", "answer": "7", "steps": ["Add.", RIGHT]}, 1),)))
    assert finished.totals["rows_with_error"] == (error_below > 0)
    assert finished.totals["consensus_agree_error" if error_below else "consensus_disagree"] == 1


class SeesTheFirst:
    """A judge to which the first step is wrong."""

    info = SimpleNamespace(threshold=0.5)

    def score(self, solutions: Sequence[Solution]) -> list[Reading]:
        return [Reading((0.1, *(0.9,) * (len(solution.steps) - 1))) for solution in solutions]


def test_the_threshold_is_the_judges() -> None:
    (compared,) = compare([row("0.9 0.8", 1.0, 1.0)], Reads(), threshold=0.85)
    assert compared.judge == 1
    assert not compared.kept


def test_rows_stream_in_batches_and_open_ones_cost_no_judgement() -> None:
    judge = Reads()
    rows = iter(ROWS * 2)
    first = next(compare(rows, judge, threshold=0.5, at_once=3))
    assert first.kept
    assert len(list(rows)) == 11
    assert judge.calls == [3]
    list(compare([row("0.9", None)], judge, threshold=0.5))
    assert judge.calls == [3]


def test_a_label_is_open_where_a_step_before_the_error_was_not_judged() -> None:
    assert is_open(row("1 1", 1.0, None))
    assert is_open(row("1 1", None, 0.0))
    assert is_open(row("1 1", 0.4, None))
    assert not is_open(row("1 1", 0.4, None), error_below=0.5)
    assert not is_open(row("1 1", 0.0, None))
