"""AUROC and correlations against scikit-learn and numpy."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from stepscore_service.jobs.metrics.interval import bootstrap, mean_with_interval, weighted_mean
from stepscore_service.jobs.metrics.separation import auroc, auroc_with_interval, correlations

rows = st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=2, max_size=40)


@settings(max_examples=25)
@given(rows)
def test_auroc_is_that_of_scikit_learn(table: list[tuple[bool, int, int]]) -> None:
    good, scores, weights = (np.array(column) for column in zip(*table, strict=True))
    found = auroc(good, scores.astype(float), weights.astype(float))
    drawn = weights > 0
    if len(set(good[drawn])) < 2:
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(good, scores, sample_weight=weights))


def test_scores_without_value_come_last() -> None:
    assert auroc(np.array([True, False]), np.array([0.1, -np.inf])) == 1.0


def test_auroc_of_nothing_is_undefined() -> None:
    nothing = np.empty(0)
    assert auroc(nothing.astype(bool), nothing) is None
    assert auroc_with_interval(nothing.astype(bool), nothing, nothing.astype(np.int64)).value is None


def test_the_interval_resamples_whole_solutions() -> None:
    rng = np.random.default_rng(1)
    good = rng.random(200) < 0.5
    scores = rng.normal(good, 1.5)
    alone = auroc_with_interval(good, scores, np.arange(200))
    tenfold = auroc_with_interval(np.repeat(good, 10), np.repeat(scores, 10), np.repeat(np.arange(200), 10))
    assert tenfold == alone


def test_correlations_are_those_of_numpy_and_need_differences() -> None:
    one, other = np.array([1.0, 2.0, 4.0, 8.0]), np.array([2.0, 3.0, 1.0, 9.0])
    found = correlations(one, other)
    assert found["pearson"] == pytest.approx(np.corrcoef(one, other)[0, 1])
    assert found["spearman"] == pytest.approx(np.corrcoef([1, 2, 3, 4], [2, 3, 1, 4])[0, 1])
    assert correlations(one, np.ones(4)) == {"pearson": None, "spearman": None}
    assert correlations(one[:2], other[:2]) == {"pearson": None, "spearman": None}


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(2).normal(0.0, 1.0, 400)
    found = mean_with_interval(values)
    assert found.value == pytest.approx(values.mean())
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_the_fast_bootstrap_of_a_mean_is_the_general_one() -> None:
    values = np.random.default_rng(4).random(30)
    slow = bootstrap(lambda weights: weighted_mean(values, weights), 30)
    assert astuple(mean_with_interval(values)) == pytest.approx(astuple(slow))


def test_a_statistic_that_is_never_defined_has_no_bounds() -> None:
    assert bootstrap(lambda weights: None, 5).low is None
    assert bootstrap(lambda weights: 1.0, 0).value is None
