"""Calibration: against scikit-learn, and against labels that were drawn with a known temperature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from stepscore_service.jobs.evaluate.suites.step_numbers import Columns, calibration_of
from stepscore_service.jobs.metrics import calibration as metric

RNG = np.random.default_rng(3)
PROBABILITIES = expit(RNG.normal(0.5, 2.0, 4000))
LABELS = (RNG.random(4000) < expit(logit(PROBABILITIES) / 2.5 - 0.7)).astype(np.float64)


def test_brier_and_log_loss_are_those_of_scikit_learn() -> None:
    assert metric.brier(PROBABILITIES, LABELS) == pytest.approx(brier_score_loss(LABELS, PROBABILITIES))
    assert metric.log_loss(PROBABILITIES, LABELS) == pytest.approx(sklearn_log_loss(LABELS, PROBABILITIES), abs=1e-5)


def test_the_fit_finds_the_temperature_that_made_the_labels() -> None:
    found = metric.fit(PROBABILITIES, LABELS, with_bias=True)
    assert found is not None
    assert found.temperature == pytest.approx(2.5, rel=0.1)
    assert found.bias == pytest.approx(-0.7, abs=0.1)


def test_the_fit_is_that_of_an_unpenalised_logistic_regression() -> None:
    features = logit(PROBABILITIES)[:, None]
    for with_bias in (True, False):
        model = LogisticRegression(C=np.inf, fit_intercept=with_bias, tol=1e-8).fit(features, LABELS)
        found = metric.fit(PROBABILITIES, LABELS, with_bias=with_bias)
        assert found is not None
        assert 1 / found.temperature == pytest.approx(float(model.coef_[0, 0]), rel=1e-3)
        assert found.bias == pytest.approx(float(np.ravel(model.intercept_)[0]) if with_bias else 0.0, abs=1e-3)


def test_the_fit_lowers_loss_and_error() -> None:
    found = metric.fit(PROBABILITIES, LABELS, with_bias=True)
    assert found is not None
    calibrated = found.apply(PROBABILITIES)
    assert metric.log_loss(calibrated, LABELS) < metric.log_loss(PROBABILITIES, LABELS)
    assert metric.expected_error(calibrated, LABELS) < 0.03 < metric.expected_error(PROBABILITIES, LABELS)


def test_soft_labels_are_matched_exactly() -> None:
    found = metric.fit(PROBABILITIES, expit(logit(PROBABILITIES) / 3.0))
    assert found is not None
    assert found.temperature == pytest.approx(3.0, rel=1e-3)


def test_what_cannot_be_fitted_is_none() -> None:
    assert metric.fit(PROBABILITIES, np.ones(4000)) is None
    assert metric.fit(PROBABILITIES, 1 - (PROBABILITIES > 0.5)) is None
    assert metric.fit(np.empty(0), np.empty(0)) is None


def test_halves_are_calibrated_by_each_other() -> None:
    units = np.repeat(np.arange(1000), 4)
    crossed = metric.cross_fit(PROBABILITIES, LABELS, units, with_bias=False)
    assert crossed is not None
    even = units % 2 == 0
    other = metric.fit(PROBABILITIES[~even], LABELS[~even])
    assert other is not None
    assert crossed[even] == pytest.approx(other.apply(PROBABILITIES[even]))
    assert metric.cross_fit(PROBABILITIES, np.ones(4000), units, with_bias=False) is None


@example([(0.7, 0.0)] * 3)  # whose mean is rounded to less than 0.7
@example([(float(np.nextafter(0.7, 0.0)), 0.0)])  # ten times as much is rounded to 7
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=50))
def test_bins_hold_every_step_once_and_the_error_is_a_distance(rows: list[tuple[float, float]]) -> None:
    probabilities, labels = (np.array(column) for column in zip(*rows, strict=True))
    bins = metric.reliability(probabilities, labels)
    assert sum(each.count for each in bins) == len(rows)
    assert all(each.low <= each.probability <= each.high for each in bins)
    assert 0.0 <= metric.expected_error(probabilities, labels) <= 1.0 + 1e-12


def test_the_expected_error_by_hand() -> None:
    probabilities, labels = np.array([0.1, 0.12, 0.95, 1.0]), np.array([0.0, 1.0, 1.0, 1.0])
    assert metric.expected_error(probabilities, labels) == pytest.approx((2 * 0.39 + 2 * 0.025) / 4)


def columns(rewards: list[float], labels: list[float]) -> Columns:
    """One solution for each step."""
    return Columns(np.array(rewards), np.array(labels), np.arange(len(labels)), np.ones(len(labels), dtype=np.bool_))


@pytest.mark.parametrize(
    ("rewards", "labels"),
    [
        ([0.3] * 10 + [0.25] * 10, [0.0] * 10 + [1.0] + [0.0] * 9),
        ([0.9, 0.1] * 6, [0.0, 1.0] * 6),
        ([0.2] * 12, [0.0] * 9 + [1.0] * 3),
        ([0.1, 0.2, 0.3, 0.4] * 3, [1.0, 0.0, 0.0, 0.0] * 3),
        ([0.6, 0.4, 0.5, 0.5], [0.2, 0.7, 0.1, 0.9]),
        ([0.8, 0.6, 0.7, 0.7] * 4, [0.0, 0.0, 1.0, 1.0] * 4),
    ],
)
@pytest.mark.parametrize("with_bias", [False, True])
def test_rewards_no_better_than_chance_get_no_calibration(
    rewards: list[float], labels: list[float], with_bias: bool
) -> None:
    found = calibration_of(columns(rewards, labels), with_bias)
    assert found is not None
    assert (found["fitted"], found["after"]) == (None, None)


def test_rewards_better_than_chance_get_one() -> None:
    found = calibration_of(columns([0.9, 0.8, 0.3, 0.6, 0.7, 0.2] * 2, [1.0, 1.0, 0.0, 0.0, 1.0, 1.0] * 2), False)
    assert found is not None
    assert found["fitted"] is not None


def test_soft_labels_of_one_side_are_still_fitted() -> None:
    found = calibration_of(columns([0.9, 0.8, 0.7, 0.6], [0.8, 0.75, 0.7, 0.6]), False)
    assert found is not None
    assert found["fitted"] is not None
