"""PSI and Kolmogorov-Smirnov against scipy, and bounds of what is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore_service.serving.drift import (
    LEAST_SCORES,
    TENANTS,
    VERSIONS,
    DriftMonitor,
    TenantDrift,
    compare,
    histogram,
    inner_edges,
    ks_distance,
    ks_p_value,
    psi,
)

SAMPLES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@given(*[st.lists(st.floats(0, 1), min_size=5, max_size=60)] * 2)
def test_ks_is_scipy_s(one: list[float], other: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.ks_2samp(one, other, method="asymp")
    assert ks_distance(one, other) == pytest.approx(theirs.statistic, abs=1e-12)


@pytest.mark.parametrize(
    ("distance", "one", "other"), [(0.05, 500, 800), (0.1, 300, 300), (0.3, 50, 70), (0.01, 20, 20)]
)
def test_the_p_value_is_kolmogorov_s_limit(distance: float, one: int, other: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.kstwobign.sf(distance * np.sqrt(one * other / (one + other)))
    assert ks_p_value(distance, one, other) == pytest.approx(expected, abs=1e-9)


def test_psi_by_hand() -> None:
    reference = [0.1] * 50 + [0.9] * 50
    sample = [0.1] * 20 + [0.9] * 80
    expected = (0.2 - 0.5) * np.log(0.2 / 0.5) + (0.8 - 0.5) * np.log(0.8 / 0.5)
    assert psi(reference, sample, [0.5]) == pytest.approx(expected)


@given(SAMPLES, SAMPLES)
def test_psi_is_at_least_0_and_0_for_the_same(one: list[float], other: list[float]) -> None:
    edges = inner_edges(one)
    assert psi(one, one, edges) == 0.0
    assert psi(one, other, edges) >= 0.0
    assert sum(histogram(other, edges)) == len(other)


def test_too_few_scores_give_no_number() -> None:
    few, enough = [0.5] * (LEAST_SCORES - 1), [0.5] * LEAST_SCORES
    assert compare(enough, few) is None
    assert compare(few, enough) is None
    assert compare(enough, enough) is not None


def test_versions_and_scores_are_bounded_and_the_reference_stays() -> None:
    monitor = DriftMonitor(30)
    for version in range(3 * VERSIONS):
        for score in range(100):
            monitor.add(f"step-{version}", score / 100)
    report = monitor.report()
    assert (report.reference_version, report.reference_scores) == ("step-0", 30)
    assert [each.version for each in report.versions] == [f"step-{n}" for n in range(2 * VERSIONS, 3 * VERSIONS)]
    assert {each.scores for each in report.versions} == {30}
    assert report.versions[-1].mean == pytest.approx(np.mean(range(70, 100)) / 100), "the latest ones"


def test_nothing_is_compared_before_anything_came() -> None:
    report = DriftMonitor(30).report()
    assert (report.reference_version, report.edges, report.reference_histogram, report.versions) == (None, (), (0,), ())


def test_tenants_are_apart_and_bounded_and_the_furthest_is_exported() -> None:
    drift = TenantDrift(30)
    assert drift.largest() is None
    for tenant, shift in (("calm", 0.0), ("moved", 0.5)):
        for score in range(30):
            drift.of(tenant).add("step-1", score / 30)
            drift.of(tenant).add("step-2", score / 30 + shift)
    latest = drift.of("moved").latest()
    assert latest is not None
    assert drift.largest() == latest
    assert drift.of("calm").report().versions[-1].numbers == compare(
        [n / 30 for n in range(30)], [n / 30 for n in range(30)]
    )
    for tenant in range(TENANTS):
        drift.of(str(tenant))
    assert drift.of("moved").report().versions == (), "forgotten"
