import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.aggregate import AGGREGATES, aggregate, aggregate_all, check_threshold, first_error, weakest_step
from stepscore.errors import InvalidThreshold, UndefinedAggregate, UnknownAggregate
from stepscore.family.registry import families
from stepscore.types import PROBABILITY, RewardRange

REAL = RewardRange("real", -math.inf, math.inf)
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


BY_HAND = {
    "min": 0.2,
    "prod": 0.08,
    "mean": 0.5,
    "last": 0.5,
    "sum": 1.5,
    "geometric_mean": 0.08 ** (1 / 3),
    "weighted_mean": (0.8 + 0.2 / 2 + 0.5 / 3) / (1 + 1 / 2 + 1 / 3),
    "soft_min": (0.8 * math.exp(-8) + 0.2 * math.exp(-2) + 0.5 * math.exp(-5)) / sum(map(math.exp, (-8, -2, -5))),
}
"""The score of 0.8, 0.2, 0.5."""


@pytest.mark.parametrize("name", AGGREGATES)
def test_every_aggregate_is_what_it_is_by_hand(name: str) -> None:
    assert aggregate([0.8, 0.2, 0.5], name, PROBABILITY) == pytest.approx(BY_HAND[name])


@given(PROBABILITIES)
def test_scores_of_probabilities_are_probabilities(rewards: list[float]) -> None:
    scores = aggregate_all(rewards, PROBABILITY)
    assert set(scores) == set(AGGREGATES)
    assert all(-1e-12 <= score <= 1 + 1e-12 for name, score in scores.items() if name != "sum")


@given(PROBABILITIES)
def test_the_order_of_aggregates(rewards: list[float]) -> None:
    score = aggregate_all(rewards, PROBABILITY)
    slack = 1e-9
    assert score["prod"] <= score["min"] + slack
    assert score["min"] <= score["soft_min"] + slack
    assert score["soft_min"] <= score["mean"] + slack
    assert score["geometric_mean"] <= score["mean"] + slack


@given(st.floats(0, 1), st.integers(1, 9))
def test_equal_rewards_aggregate_to_themselves(reward: float, steps: int) -> None:
    score = aggregate_all([reward] * steps, PROBABILITY)
    for name in ("min", "mean", "last", "geometric_mean", "weighted_mean", "soft_min"):
        assert score[name] == pytest.approx(reward)


def test_an_early_step_weighs_more() -> None:
    assert aggregate([0.0, 1.0], "weighted_mean", PROBABILITY) < aggregate([1.0, 0.0], "weighted_mean", PROBABILITY)


def test_probability_aggregates_are_left_out_of_other_ranges() -> None:
    assert "prod" not in aggregate_all([-0.5, 2.0], REAL)
    assert aggregate_all([-0.5, 2.0], REAL)["min"] == -0.5
    with pytest.raises(UndefinedAggregate):
        aggregate([-0.5, 2.0], "geometric_mean", REAL)


def test_an_unknown_aggregate_names_the_known() -> None:
    with pytest.raises(UnknownAggregate) as caught:
        aggregate([0.5], "median", PROBABILITY)
    assert caught.value.detail["known"] == list(AGGREGATES)


def test_soft_min_of_far_apart_rewards_does_not_overflow() -> None:
    assert aggregate([-500.0, 500.0], "soft_min", REAL) == -500.0


@given(PROBABILITIES, st.floats(0, 1))
def test_first_error_is_the_first_under_the_threshold(rewards: list[float], threshold: float) -> None:
    found = first_error(rewards, threshold)
    if found is None:
        assert min(rewards) >= threshold
    else:
        assert rewards[found] < threshold
        assert all(reward >= threshold for reward in rewards[:found])


def test_the_weakest_step_is_the_first_of_equals() -> None:
    assert weakest_step([0.5, 0.1, 0.1]) == 1


def test_a_threshold_lies_in_the_range_of_the_rewards() -> None:
    for inside in (0.0, 0.5, 1.0):
        check_threshold(inside, PROBABILITY)
    for outside in (-0.1, 1.1, 2.0, float("nan"), float("inf")):
        with pytest.raises(InvalidThreshold, match="must be between 0 and 1"):
            check_threshold(outside, PROBABILITY)


def test_rewards_without_bounds_have_any_finite_threshold() -> None:
    check_threshold(-1e6, REAL)
    with pytest.raises(InvalidThreshold, match="must be finite"):
        check_threshold(float("inf"), REAL)


def test_the_threshold_of_every_family_is_one() -> None:
    for family in families():
        check_threshold(family.threshold, family.reward_range)
