"""ProcessBench's F1: against the published numbers, and against counting one threshold at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepscore.aggregate import first_error
from stepscore_service.jobs.metrics import first_error as metric

PUBLISHED = {
    "Qwen2.5-Math-PRM-7B": ([(72.0, 96.4), (68.0, 90.4), (55.7, 85.5), (55.2, 83.0)], [82.4, 77.6, 67.5, 66.3], 73.5),
    "Qwen2.5-Math-PRM-72B": ([(78.7, 97.9), (74.2, 88.2), (67.9, 82.0), (64.8, 78.8)], [87.3, 80.6, 74.3, 71.1], 78.3),
    "Math-Shepherd-7B": ([(32.4, 91.7), (18.0, 82.0), (15.0, 71.1), (14.2, 73.0)], [47.9, 29.5, 24.8, 23.8], 31.5),
    "Skywork-7B": ([(61.8, 82.9), None, (17.9, 31.9), (14.0, 41.9)], [70.8, 53.6, 22.9, 21.0], 42.1),
}
"""Accuracies on solutions with and without an error, F1 and mean F1: arXiv 2501.07301, table 7 and appendix.

Skywork-7B on MATH is left out (None): its published accuracies, 43.8 and 62.2, do not give its published F1, 53.6.
"""

rewards = st.lists(st.integers(0, 10).map(lambda tenth: tenth / 10), min_size=1, max_size=6)
solutions = st.lists(
    rewards.flatmap(lambda found: st.tuples(st.just(found) | st.none(), st.integers(-1, len(found) - 1))), min_size=1
)


@pytest.mark.parametrize("model", PUBLISHED)
def test_f1_is_the_published_one(model: str) -> None:
    accuracies, f1s, mean = PUBLISHED[model]
    found = [f1 if pair is None else metric.harmonic(*pair) for pair, f1 in zip(accuracies, f1s, strict=True)]
    assert found == pytest.approx(f1s, abs=0.1)
    assert sum(found) / 4 == pytest.approx(mean, abs=0.1)


def counted_f1(rows: list[tuple[list[float] | None, int]], threshold: float) -> float | None:
    """As the benchmark's own code counts, with 0 instead of a division by zero."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for found, label in rows:
        predicted = None if found is None else first_error(found, threshold)
        hits[label != -1].append(found is not None and (-1 if predicted is None else predicted) == label)
    if not hits[True] or not hits[False]:
        return None
    error, correct = (sum(kind) / len(kind) for kind in (hits[True], hits[False]))
    return 2 * error * correct / (error + correct) if error + correct else 0.0


@settings(max_examples=40)
@given(solutions, st.integers(-1, 12).map(lambda tenth: tenth / 10))
def test_f1_counts_as_the_benchmark_does(rows: list[tuple[list[float] | None, int]], threshold: float) -> None:
    wanted = counted_f1(rows, threshold)
    found = metric.accuracies(metric.windows(rows), threshold).f1
    assert found == (wanted if wanted is None else pytest.approx(wanted))


@settings(max_examples=25)
@given(solutions)
def test_the_tuned_threshold_is_the_best_of_all(rows: list[tuple[list[float] | None, int]]) -> None:
    best_threshold = metric.best_threshold(metric.windows(rows))
    all_f1s = [counted_f1(rows, threshold) for threshold in np.arange(-0.05, 1.2, 0.05)]
    if best_threshold is None:
        assert all(each is None or each == 0.0 for each in all_f1s)
    else:
        assert counted_f1(rows, best_threshold) == pytest.approx(max(each or 0.0 for each in all_f1s))


@settings(max_examples=25)
@given(solutions)
def test_the_curve_says_what_each_threshold_gives(rows: list[tuple[list[float] | None, int]]) -> None:
    found = metric.windows(rows)
    for threshold, f1 in zip(*metric.curve(found), strict=True):
        assert f1 == pytest.approx(counted_f1(rows, threshold))


def test_a_solution_without_rewards_is_wrong_at_every_threshold() -> None:
    found = metric.windows([(None, -1), ([0.9, 0.1], 1), ([0.8], -1)])
    for threshold in (-math.inf, 0.0, 0.5, 1.0, math.inf):
        assert metric.accuracies(found, threshold).correct in (0.0, 0.5)


def test_a_label_beyond_the_last_step_is_never_predicted() -> None:
    assert metric.window([0.1, 0.2], 2) == metric.NEVER


def test_f1_is_undefined_without_both_kinds() -> None:
    only_clean = metric.windows([([0.9], -1)])
    assert metric.accuracies(only_clean, 0.5).f1 is None
    assert metric.f1_with_interval(only_clean, 0.5).value is None
    assert metric.best_threshold(only_clean) is None


def test_the_interval_holds_the_value() -> None:
    rows = [([0.9, 0.2 if n % 3 else 0.8], 1 if n % 2 else -1) for n in range(60)]
    f1 = metric.f1_with_interval(metric.windows(rows), 0.5)
    assert f1.low is not None
    assert f1.value is not None
    assert f1.high is not None
    assert 0.0 <= f1.low < f1.value < f1.high <= 1.0
