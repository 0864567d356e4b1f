"""Choosing among n of N: closed forms against going through all subsets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepscore_service.jobs.metrics import best_of_n as metric

candidates = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 2) | st.none()), min_size=1, max_size=7
)


@given(candidates, st.data())
@settings(max_examples=30)
def test_expectations_are_means_over_all_subsets(
    table: list[tuple[bool, int, int | None]], data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, len(table)))
    correct, scores = np.array([row[0] for row in table]), np.array([float(row[1]) for row in table])
    best, passed = [], []
    for chosen in combinations(range(len(table)), n):
        highest = max(scores[list(chosen)])
        best.append(np.mean([correct[each] for each in chosen if scores[each] == highest]))
        passed.append(any(correct[each] for each in chosen))
    assert metric.best_of(correct, scores, n) == pytest.approx(np.mean(best))
    assert metric.pass_at(correct, n) == pytest.approx(np.mean(passed))


@given(candidates, st.data())
@settings(max_examples=30)
def test_votes_elect_the_heaviest_answer(table: list[tuple[bool, int, int | None]], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(table)))
    correct, weights, groups = (list(column) for column in zip(*table, strict=True))
    outcomes = []
    for chosen in combinations(range(len(table)), n):
        members = {group: [i for i in chosen if groups[i] == group] for group in groups if group is not None}
        heavy = {group: sum(weights[i] for i in some) for group, some in members.items() if some}
        if not heavy:
            outcomes.append(np.mean([correct[i] for i in chosen]))
            continue
        elected = [members[group] for group in heavy if heavy[group] == max(heavy.values())]
        outcomes.append(np.mean([np.mean([correct[i] for i in some]) for some in elected]))
    chosen_Kn = metric.subsets(len(table), n, np.random.default_rng(0))
    found = metric.vote_accuracy(np.array(correct), groups, np.array(weights, dtype=float), chosen_Kn)
    assert found == pytest.approx(np.mean(outcomes))


def test_many_subsets_are_sampled_without_repeating_a_candidate() -> None:
    chosen = metric.subsets(64, 8, np.random.default_rng(0))
    assert chosen.shape == (metric.MAX_SUBSETS, 8)
    assert all(len(set(row)) == 8 for row in chosen.tolist())
    assert np.bincount(chosen.ravel(), minlength=64).min() > 0


def test_the_chances_of_the_ranks_sum_to_one() -> None:
    for n in range(1, 9):
        assert metric.first_chances(8, n).sum() == pytest.approx(1.0)


def test_an_unscorable_candidate_is_the_last_choice() -> None:
    correct, scores = np.array([True, False]), np.array([-np.inf, 0.1])
    assert metric.best_of(correct, scores, 2) == 0.0
    assert metric.best_of(correct, scores, 1) == 0.5


def test_the_sizes_of_a_curve() -> None:
    assert metric.sizes(4) == [1, 2, 3, 4]
    assert metric.sizes(64) == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64]
    assert metric.sizes(20) == [1, 2, 3, 4, 5, 6, 7, 8, 16, 20]
