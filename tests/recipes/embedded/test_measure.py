"""Intervals of the card: problems are resampled with all their steps and solutions, which are alike."""

from __future__ import annotations

import numpy as np
import pytest

from recipes.embedded.measure import separation, units
from stepscore_service.jobs.metrics.first_error import f1_with_interval, windows

GOOD = [(f"problem {number}", -1.0 - number % 4) for number in range(20)]
BAD = [(f"problem {number}", -2.0 - number % 5) for number in range(20)]
SOLVED = [([0.9, 0.2 + 0.05 * (number % 9)], 1 if number % 2 else -1) for number in range(40)]


def test_the_steps_of_a_problem_said_ten_times_tell_no_more() -> None:
    once, often = separation(GOOD, BAD), separation(GOOD * 10, BAD * 10)
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    assert once.low is not None
    assert once.value is not None
    assert once.low < once.value - 0.05


def test_the_solutions_of_a_problem_said_ten_times_tell_no_more() -> None:
    own = np.arange(len(SOLVED))
    once = f1_with_interval(windows(SOLVED), 0.4, own)
    often = f1_with_interval(windows(SOLVED * 10), 0.4, np.tile(own, 10))
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    assert f1_with_interval(windows(SOLVED), 0.4) == once


def test_units_number_the_problems_in_order() -> None:
    assert units(["a", "b", "a", "c", "b"]).tolist() == [0, 1, 0, 2, 1]
