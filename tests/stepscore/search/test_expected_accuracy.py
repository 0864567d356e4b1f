"""On a policy of known step success and an exact PRM, each method reaches the accuracy that its rules imply."""

from __future__ import annotations

import math
from functools import cache

import pytest

from search_case import DicePolicy, FormulaPrm, accuracy, noise, oracle, problems, searcher
from stepscore.search.rebase import share_width

P, DEPTH, PROBLEMS = 0.6, 4, 500
SOLVED = P**DEPTH


def measure(method: str, prm=oracle, **options) -> float:
    policy = DicePolicy(P, DEPTH)
    return accuracy(
        list(searcher(policy, FormulaPrm(prm), method, in_flight=PROBLEMS, **options).run(problems(PROBLEMS)))
    )


def within(expected: float) -> object:
    """Four standard errors: a right implementation fails once in 16,000 runs, and the seed is fixed."""
    return pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / PROBLEMS) + 1e-9)


def binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@cache
def beam_accuracy(good: int, kept: int, width: int, rounds: int) -> float:
    """good: beams without an error among those kept. An exact PRM ranks children without an error first."""
    if not good:
        return 0.0
    children = good * width
    if rounds == 1:
        return 1 - (1 - P) ** children
    return sum(
        binomial(children, k, P) * beam_accuracy(min(kept, k), kept, width, rounds - 1) for k in range(children + 1)
    )


@cache
def rebase_accuracy(good: int, bad: int, width: int, rounds: int) -> float:
    """good, bad: nodes of this depth; all solutions end at the same depth."""
    shares = share_width([1.0] * good + [0.0] * bad, width, 0.2)
    children = sum(shares[:good])
    if rounds == 1:
        return 1 - (1 - P) ** children
    total = sum(shares)
    return sum(binomial(children, k, P) * rebase_accuracy(k, total - k, width, rounds - 1) for k in range(children + 1))


def test_greedy_and_a_single_sample_solve_what_the_policy_solves():
    assert measure("best_of_n", n=1) == within(SOLVED)


@pytest.mark.parametrize("n", [4, 16])
def test_best_of_n_with_an_oracle_reaches_the_coverage(n: int):
    assert measure("best_of_n", n=n) == within(1 - (1 - SOLVED) ** n)


def test_best_of_n_with_noise_does_no_better_than_one_sample():
    assert measure("best_of_n", prm=noise, n=16) == within(SOLVED)


def test_a_majority_is_that_of_a_binomial():
    n = 5
    assert measure("majority", n=n) == within(sum(binomial(n, k, SOLVED) for k in range(3, n + 1)))


def test_a_weighted_vote_of_an_oracle_is_the_coverage():
    assert measure("weighted", n=8) == within(1 - (1 - SOLVED) ** 8)


@pytest.mark.parametrize(("n", "width"), [(4, 4), (8, 4), (8, 2)])
def test_beam_search_follows_the_chain_of_its_beams(n: int, width: int):
    first = sum(
        binomial(n, k, P) * beam_accuracy(min(n // width, k), n // width, width, DEPTH - 1) for k in range(n + 1)
    )
    assert measure("beam", n=n, width=width) == within(first)


def test_beam_search_guided_by_noise_does_no_better_than_one_sample():
    assert measure("beam", prm=noise, n=8, width=4) == within(SOLVED)


@pytest.mark.parametrize(("n", "width"), [(4, 4), (8, 4), (8, 2)])
def test_dvts_is_independent_trees(n: int, width: int):
    tree = (1 - (1 - P) ** width) ** DEPTH
    assert measure("dvts", n=n, width=width) == within(1 - (1 - tree) ** (n // width))


def test_rebase_shares_its_width_by_reward():
    width = 8
    first = sum(binomial(width, k, P) * rebase_accuracy(k, width - k, width, DEPTH - 1) for k in range(width + 1))
    assert measure("rebase", width=width) == within(first)


def test_particles_follow_the_odds_of_an_oracle():
    """With an exact PRM every particle that is resampled is good while one is, so it is a beam search of full width."""

    @cache
    def chain(rounds: int) -> float:
        return 1.0 if not rounds else (1 - (1 - P) ** 6) * chain(rounds - 1)

    assert measure("particles", n=6) == within(chain(DEPTH))


def test_a_tree_of_thoughts_that_backtracks_solves_more_than_one_that_cannot():
    kept = {"candidates": 3, "keep": 2, "threshold": 0.5, "expansions": 200}

    @cache
    def reaches(depth: int) -> float:
        """Some child of 3, of which the 2 best are explored, is good and leads to the end."""
        if not depth:
            return 1.0
        below = reaches(depth - 1)
        return sum(binomial(3, k, P) * (1 - (1 - below) ** min(k, 2)) for k in range(4))

    assert measure("thoughts", **kept) == within(reaches(DEPTH))


def test_mcts_with_an_oracle_and_time_reaches_what_its_tree_holds():
    """Enough simulations visit every good node, so it fails only if some depth of the tree has no good child."""

    @cache
    def reaches(depth: int) -> float:
        if not depth:
            return 1.0
        return sum(binomial(3, k, P) * (1 - (1 - reaches(depth - 1)) ** k) for k in range(4))

    assert measure("mcts", simulations=200, width=3, exploration=0.5) == within(reaches(DEPTH))


def test_adaptive_n_spends_less_where_answers_agree():
    sure, unsure = DicePolicy(0.99, DEPTH), DicePolicy(0.8, DEPTH)
    spent = [
        sum(
            len(result.candidates)
            for result in searcher(policy, FormulaPrm(lambda steps: 0.5), "adaptive", n=40).run(problems(60))
        )
        for policy in (sure, unsure)
    ]
    assert spent[0] < 60 * 12 < spent[1] < 60 * 40
