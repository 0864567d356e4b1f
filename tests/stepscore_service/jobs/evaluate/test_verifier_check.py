"""A verifier's errors: counted by what solutions are, with intervals that hold near 0."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore_service.jobs.evaluate.verifier_check import errors_of
from stepscore_service.jobs.metrics.interval import Rate


def test_errors_are_counted_by_what_the_solutions_are() -> None:
    errors = errors_of([(True, "right"), (True, "wrong"), (True, "unreadable"), (False, "right"), (False, "wrong")])
    assert errors.false_positives == Rate(1, 2)
    assert errors.false_negatives == Rate(1, 3)
    assert errors.unreadable_right == Rate(1, 3)
    assert errors.unreadable_wrong == Rate(0, 2)


def test_the_interval_is_wilsons() -> None:
    # Values of R's prop.test(..., correct = FALSE).
    assert Rate(1, 10).interval == pytest.approx((0.0178762, 0.4041500), abs=1e-6)
    assert Rate(0, 50).interval == pytest.approx((0.0, 0.0713476), abs=1e-6)
    assert Rate(0, 0).interval is None
    assert Rate(0, 0).share is None


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_interval_holds_the_share(count: int, part: float) -> None:
    rate = Rate(round(part * count), count)
    assert rate.interval is not None
    assert rate.share is not None
    assert 0 <= rate.interval[0] <= rate.share <= rate.interval[1] <= 1
