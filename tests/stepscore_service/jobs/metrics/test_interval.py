"""The interval of a share."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from stepscore_service.jobs.metrics.interval import share_with_interval


@pytest.mark.parametrize(("hits", "count"), [(0, 4), (4, 4), (1, 1), (20, 100), (37, 1000)])
def test_a_share_has_wilson_s_interval_which_is_never_a_point(hits: int, count: int) -> None:
    estimate = share_with_interval(hits, count)
    expected = binomtest(hits, count).proportion_ci(confidence_level=0.95, method="wilson")
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((hits / count, expected.low, expected.high))
    assert estimate.high > estimate.low


def test_a_share_of_nothing_is_undefined() -> None:
    assert share_with_interval(0, 0).value is None
