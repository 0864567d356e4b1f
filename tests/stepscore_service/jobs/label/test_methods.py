"""Labels of the methods against a policy that is right behind sound prefixes and wrong behind bad ones."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_case import MUTE, RIGHT, WRONG, ScriptedPolicy, Written, plan, row, scripted, wrong_at
from stepscore.errors import InvalidOption
from stepscore.rollout.task import run
from stepscore.verify.open import open_verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.methods.base import TaskLabels
from stepscore_service.jobs.label.methods.registry import open_method
from stepscore_service.jobs.label.options import MethodOptions
from stepscore_service.jobs.label.task import task_of


def strict(prefix: str, number: int, rng: random.Random) -> Written:
    """Right from every sound prefix, so that Monte Carlo values are 0 or 1."""
    return (WRONG if "BAD" in prefix else RIGHT), "stop"


def labels(method: str, source: dict[str, Any], policy: ScriptedPolicy, **options: Any) -> TaskLabels:
    tools = scripted(plan(method, **options), lambda rollouts: None, policy)
    assert tools.sampler is not None
    return run(tools.method.label(task_of(source, 1)), tools.sampler.sample)


def only(found: TaskLabels) -> Labelled:
    (one,) = found.rows
    return one


def test_monte_carlo_rolls_out_every_prefix_but_the_last() -> None:
    policy = ScriptedPolicy(strict)
    found = only(labels("monte-carlo", row(0, *wrong_at(2, 5)), policy, k=3))
    assert found.labels == (1.0, 1.0, 0.0, 0.0, 0.0)
    assert found.outcome is False
    assert [request.sampling.n for request in policy.requests] == [3] * 4
    assert policy.sizes == [12]
    others = {"right": 0, "unreadable": 0, "truncated": 0, "unstarted": 0}
    assert found.extras["counts"][2] == {"wrong": 3, "rollouts": 3, **others}
    assert found.extras["counts"][4] is None


def test_soft_labels_are_the_share_of_right_ones() -> None:
    def script(prefix: str, number: int, rng: random.Random) -> Written:
        return [(RIGHT, "stop"), (WRONG, "stop"), (WRONG, "stop"), (RIGHT, "length")][number]

    found = only(labels("monte-carlo", row(0, *wrong_at(9, 2)), ScriptedPolicy(script), k=4, labels="soft"))
    assert found.labels == (0.25, 1.0)
    assert found.extras["hard"] == [1.0, 1.0]
    judged = only(
        labels("monte-carlo", row(0, *wrong_at(9, 2)), ScriptedPolicy(script), k=4, labels="soft", judged_only=True)
    )
    assert judged.labels == (pytest.approx(1 / 3), 1.0)


def test_stopping_at_zero_asks_step_by_step() -> None:
    policy = ScriptedPolicy(strict)
    found = only(labels("monte-carlo", row(0, *wrong_at(1, 6)), policy, k=2, stop_at_zero=True))
    assert found.labels == (1.0, 0.0, None, None, None, None)
    assert policy.sizes == [2, 2]


@pytest.mark.parametrize("written", [(MUTE, "stop"), (RIGHT, "length")])
@pytest.mark.parametrize("method", ["monte-carlo", "binary-search"])
def test_a_step_whose_rollouts_reach_no_answer_is_wrong_or_without_a_label(method: str, written: Written) -> None:
    policy = ScriptedPolicy(lambda prefix, number, rng: written)
    found = only(labels(method, row(0, *wrong_at(0, 4)), policy, k=2))
    after = (0.0, 0.0, 0.0) if method == "monte-carlo" else (None, None, None)
    assert found.labels == (0.0, *after)
    judged = only(labels(method, row(0, *wrong_at(0, 4)), policy, k=2, judged_only=True))
    assert judged.labels == (None, None, None, 0.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_binary_search_finds_the_first_error_in_few_rounds(count: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, count))
    policy = ScriptedPolicy(strict)
    found = only(labels("binary-search", row(0, *wrong_at(place, count)), policy, k=2))
    assert found.first_error() == (place if place < count else None)
    assert found.labels == (*[1.0] * place, *[0.0] * (place < count), *[None] * (count - place - 1))
    rounds = 0 if place == count else math.ceil(math.log2(count))
    assert len(policy.sizes) == found.extras["rounds"] <= rounds


def test_solutions_are_searched_side_by_side() -> None:
    policy = ScriptedPolicy(strict)
    source = row(0) | {"solutions": [wrong_at(place, 8) for place in range(8)]}
    found = labels("binary-search", source, policy, k=1)
    assert [each.first_error() for each in found.rows] == list(range(8))
    assert len(policy.sizes) == 3


def test_solutions_are_sampled_where_there_are_none() -> None:
    found = labels("monte-carlo", row(0), ScriptedPolicy(), k=2, samples=3)
    assert [each.extras["sampled"] for each in found.rows] == [True] * 3
    assert {each.outcome for each in found.rows} == {True, False}
    assert all(each.extras["attempt"] == place for place, each in enumerate(found.rows))


def test_sampled_solutions_that_are_blank_or_cut_off_are_not_judged() -> None:
    def script(prefix: str, number: int, rng: random.Random) -> Written:
        if prefix:
            return RIGHT, "stop"
        return (("", "stop"), (f"We begin.\n{WRONG}", "length"))[number]

    found = only(labels("monte-carlo", row(0), ScriptedPolicy(script), k=2, samples=2))
    assert found.labels == (1.0, None)
    assert found.outcome is None


def test_a_checker_labels_up_to_the_first_wrong_step() -> None:
    policy = ScriptedPolicy()
    steps = ["3 + 4 = 7", "That was easy.", "7 + 1 = 9", "9 + 1 = 10", RIGHT]
    found = only(labels("check:arithmetic", row(0, *steps), policy))
    assert found.labels == (1.0, None, 0.0, None, None)
    assert found.outcome is True
    assert not policy.requests


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(InvalidOption, match="monte-carlo, binary-search, omega, check:arithmetic"):
        open_method(MethodOptions("magic"), open_verifier("math"))
