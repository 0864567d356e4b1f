"""Labelled steps: probes, length and position, against models whose faults are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stepscore.types import PROBABILITY, Reading, RewardRange, Solution
from stepscore_service.jobs.evaluate.suites.base import RewardFacts
from stepscore_service.jobs.evaluate.suites.probes import CLAIM, FILLER, PROBES, inserted_at, place_of, with_probes
from stepscore_service.jobs.evaluate.suites.steps import LabelledSteps
from stepscore_service.jobs.runs.rewards import Scored, ScoredOrError

Model = Callable[[Solution], list[float]]


def rows(count: int = 30) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"problem {n}",
            "completions": [f"step {k} of {n}" + ("!" if (n + k) % 3 == 0 else "") for k in range(n % 5 + 1)],
            "labels": [(n + k) % 3 != 0 for k in range(n % 5 + 1)],
            "outcome": n % 2 == 0,
        }
        for n in range(count)
    ]


def measure(model: Model, aggregate: str = "min", range_: RewardRange = PROBABILITY) -> dict[str, Any]:
    suite = LabelledSteps()
    kept = []
    for row in rows():
        answers: list[ScoredOrError] = [
            Scored(Reading(tuple(model(each))), 10 * len(each.steps)) for each in suite.ask(row)
        ]
        kept.append(suite.keep(row, answers))
    found: dict[str, Any] = suite.measure({"a": kept}, RewardFacts(range_, aggregate=aggregate))["a"]
    return found


def sees_all(solution: Solution) -> list[float]:
    return [0.1 if step.endswith("!") else 0.9 for step in solution.steps]


def likes_length(solution: Solution) -> list[float]:
    return [1 - 1 / (len(solution.steps) + 1)] * len(solution.steps)


def tires(solution: Solution) -> list[float]:
    return [0.9 - 0.1 * place for place in range(len(solution.steps))]


def test_a_model_that_sees_every_error_separates_all_steps() -> None:
    found = measure(sees_all)
    assert found["auroc"]["value"] == 1.0
    assert found["labelled_steps"] == 90
    assert all(probe["risen"]["value"] == 0.0 for probe in found["probes"].values())
    assert found["calibration"]["fitted"]["temperature"] < 1.0


def test_a_model_that_likes_length_is_found_out() -> None:
    found = measure(likes_length)
    assert found["length"]["steps"]["spearman"] == pytest.approx(1.0)
    assert set(found["probes"]) == set(PROBES)
    assert all(probe["risen"]["value"] == 1.0 for probe in found["probes"].values())
    assert all(probe["mean_change"]["value"] > 0 for probe in found["probes"].values())


def test_a_model_that_tires_is_found_out() -> None:
    found = measure(tires)
    assert found["position"]["pearson"] < -0.8
    assert found["position"]["mean_reward_by_tenth"][0] == pytest.approx(0.9)


def test_rewards_that_are_no_probabilities_are_not_calibrated() -> None:
    found = measure(lambda solution: [3.0] * len(solution.steps), range_=RewardRange("real", -9.0, 9.0))
    assert found["calibration"] is None
    assert found["auroc"]["value"] == 0.5


def test_the_outcome_is_compared_with_every_aggregate() -> None:
    found = measure(sees_all)["outcome"]
    assert (found["known"], found["right"]) == (30, 15)
    assert {"min", "prod", "mean", "last"} <= set(found["auroc"])


def test_each_probe_adds_one_step_that_says_nothing() -> None:
    solution = Solution("p", ("a", "b", "c"))
    place = place_of(solution)
    for name, longer in with_probes(solution).items():
        added = inserted_at(name, place, 3)
        assert longer.steps[:added] + longer.steps[added + 1 :] == solution.steps
        assert longer.steps[added] in {solution.steps[place], FILLER, CLAIM}
    assert with_probes(solution) == with_probes(solution)


def test_steps_that_nobody_judged_and_steps_after_the_error() -> None:
    suite = LabelledSteps(probes=False)
    row = {"prompt": "p", "completions": list("abcd"), "labels": [True, None, False, True]}
    kept = suite.keep(row, [Scored(Reading((0.9, 0.1, 0.2, 0.1)), 9)])
    found = suite.measure({"a": [kept]}, RewardFacts())["a"]
    assert found["labelled_steps"] == 3
    assert found["auroc"]["value"] == 0.5
    assert found["auroc_until_first_error"]["value"] == 1.0
    assert found["probes"] == {}
