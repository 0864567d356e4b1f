"""PRM-Score: against the benchmark's own counting, and against published rows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from stepscore_service.jobs.metrics.prm_score import (
    CLASSES,
    GROUPS,
    Confusion,
    confusion,
    prm_score,
    valid_by_change,
    valid_by_level,
)

PUBLISHED = {
    "Qwen2.5-Math-PRM-7B": ([49.0, 55.1], 52.1, [71.8, 67.3, 66.3, 78.5], 71.0, [57.6, 69.1, 99.7], 75.5),
    "Skywork-7B": ([56.4, 62.8], 59.6, [69.4, 67.1, 67.7, 69.9], 68.5, [60.9, 65.8, 93.2], 73.3),
    "Math-Shepherd-7B": ([44.0, 50.3], 47.1, [49.4, 44.5, 41.3, 47.7], 45.7, [47.2, 48.6, 86.1], 60.7),
}
"""Class scores and the group's score, in the order of GROUPS: arXiv 2501.03124, and 2501.07301 for Qwen."""

steps = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30)


@settings(max_examples=25)
@given(steps)
def test_the_f1s_are_those_of_scikit_learn(table: list[tuple[bool, bool]]) -> None:
    predicted, wrong = zip(*table, strict=True)
    counts = confusion(predicted, {step for step, is_wrong in enumerate(wrong, 1) if is_wrong})
    truth = [not each for each in wrong]
    assert counts.f1 == pytest.approx(f1_score(truth, predicted, zero_division=0.0))
    assert counts.f1_invalid == pytest.approx(f1_score(wrong, [not each for each in predicted], zero_division=0.0))
    assert counts.accuracy == pytest.approx(sum(map(bool.__eq__, truth, predicted)) / len(table))


def _with_score(score: float) -> Confusion:
    """Counts whose PRM-Score and F1 are both about `score` (in percent)."""
    hits = round(score * 100)
    return Confusion(hits, 10_000 - hits, hits, 10_000 - hits)


@pytest.mark.parametrize("model", PUBLISHED)
def test_groups_are_the_published_means_of_their_classes(model: str) -> None:
    rows = PUBLISHED[model]
    scores = [score for group in rows[::2] for score in group]
    by_class = {name: _with_score(score) for name, score in zip(CLASSES, scores, strict=True)}
    found = prm_score(by_class)
    for group, wanted in zip(GROUPS, rows[1::2], strict=True):
        assert 100 * (found.groups[group] or 0) == pytest.approx(wanted, abs=0.1)


def test_the_overall_score_pools_steps_and_one_class_counts_valid_steps_only() -> None:
    many, few = Confusion(80, 5, 10, 5), Confusion(3, 0, 0, 1)
    found = prm_score({"circular": many, "multi_solutions": few})
    assert found.overall == (many + few).score
    assert found.classes["multi_solutions"] == few.f1
    assert found.classes["circular"] == many.score
    assert found.classes["deception"] is None
    assert found.groups["simplicity"] is None


def test_nothing_predicted_and_nothing_there_are_zero_and_not_an_error() -> None:
    assert Confusion().score == 0.0
    assert Confusion().accuracy is None
    assert prm_score({}).overall is None


def test_a_step_at_the_threshold_is_not_valid() -> None:
    assert valid_by_level([0.5, 0.51], 0.5) == [False, True]


def test_skywork_is_read_by_the_change_from_the_step_before() -> None:
    assert valid_by_change([0.9, 0.86, 0.8, 0.81], -0.05) == [True, True, False, True]
