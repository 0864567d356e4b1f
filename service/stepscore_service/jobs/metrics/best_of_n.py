"""What choosing among n of N candidates gives: expectations over all subsets of size n, so that no draw is lucky.

Best-of-n and pass@n have closed forms (pass@n as in arXiv 2107.03374). Votes have none: they are averaged over all
subsets, or over a sample of them if there are many.

Shape suffixes: N candidates of one problem, K subsets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from stepscore_service.jobs.metrics.interval import Booleans, Doubles, Integers

MAX_SUBSETS = 256


def best_of(correct_N: Booleans, scores_N: Doubles, n: int) -> float:
    """The chance that the candidate with the best score of n is right; equal scores are chosen among at random."""
    order_N = np.argsort(-scores_N, kind="stable")
    return float(first_chances(len(scores_N), n) @ _shared_among_ties(scores_N[order_N], correct_N[order_N]))


def first_chances(count: int, n: int) -> Doubles:
    """The chance that the candidate of each rank (best first) is the best of a random subset of size n."""
    ways = [math.comb(count - 1 - rank, n - 1) for rank in range(count)]
    return np.array(ways, dtype=np.float64) / math.comb(count, n)


def pass_at(correct_N: Booleans, n: int) -> float:
    """The chance that one of n candidates is right."""
    count, right = len(correct_N), int(correct_N.sum())
    return 1.0 - math.comb(count - right, n) / math.comb(count, n)


def subsets(count: int, n: int, rng: np.random.Generator) -> Integers:
    """(K, n): all subsets of size n, or MAX_SUBSETS random ones if there are more."""
    if math.comb(count, n) <= MAX_SUBSETS:
        return np.array(list(combinations(range(count), n)), dtype=np.int64)
    return np.argsort(rng.random((MAX_SUBSETS, count)), axis=1)[:, :n].astype(np.int64)


def vote_accuracy(
    correct_N: Booleans, groups_N: Sequence[int | None], weights_N: Doubles, chosen_Kn: Integers
) -> float:
    """The chance that the heaviest answer of a subset is right; among equally heavy ones each is as likely.

    groups_N: which answer each candidate gives; None takes no part, unless no candidate of a subset has an answer:
    then the choice is random. An answer is as right as its candidates in the subset are on average.
    """
    names = sorted({group for group in groups_N if group is not None})
    if not names:
        return float(correct_N.mean())
    member_NG = np.array([[group == name for name in names] for group in groups_N], dtype=np.float64)
    present_KG = member_NG[chosen_Kn].sum(axis=1)
    right_KG = (member_NG * correct_N[:, None])[chosen_Kn].sum(axis=1)
    weight_KG = np.where(present_KG > 0, (member_NG * weights_N[:, None])[chosen_Kn].sum(axis=1), -np.inf)
    share_KG = np.divide(right_KG, present_KG, out=np.zeros_like(right_KG), where=present_KG > 0)
    won_KG = (weight_KG >= weight_KG.max(axis=1, keepdims=True) - 1e-12) & (present_KG > 0)
    elected_K = (share_KG * won_KG).sum(axis=1) / np.maximum(won_KG.sum(axis=1), 1)
    silent_K = ~present_KG.any(axis=1)
    return float(np.where(silent_K, correct_N[chosen_Kn].mean(axis=1), elected_K).mean())


def sizes(count: int) -> list[int]:
    """The n of a curve: every number up to 8, then powers of two, and `count` itself."""
    powers = [2**power for power in range(4, 31) if 2**power < count]
    return sorted({*range(1, min(count, 8) + 1), *powers, count})


def _shared_among_ties(sorted_N: Doubles, correct_N: Booleans) -> Doubles:
    """Where scores are equal, everyone's correctness is the mean of theirs."""
    _, inverse_N, counts = np.unique(-sorted_N, return_inverse=True, return_counts=True)
    sums = np.bincount(inverse_N, weights=correct_N.astype(np.float64))
    return np.asarray((sums / counts)[inverse_N], dtype=np.float64)
