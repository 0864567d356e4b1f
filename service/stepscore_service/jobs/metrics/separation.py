"""How well numbers keep good from bad apart, and how two numbers go together.

Shape suffix: N numbers that are compared.
"""

from __future__ import annotations

import numpy as np

from stepscore_service.jobs.metrics.interval import Booleans, Doubles, Estimate, Integers, bootstrap


def auroc(good_N: Booleans, scores_N: Doubles, weights_N: Doubles | None = None) -> float | None:
    """The chance that a good one has the higher score than a bad one, ties counting half. None without both kinds."""
    return Separation(good_N, scores_N).auroc(np.ones(len(good_N)) if weights_N is None else weights_N)


class Separation:
    """AUROC under changing weights: the scores are sorted once, so that a bootstrap costs one pass a round."""

    def __init__(self, good_N: Booleans, scores_N: Doubles) -> None:
        self._order_N = np.argsort(scores_N, kind="stable")
        ordered_N = scores_N[self._order_N]
        self._good_N = good_N[self._order_N].astype(np.float64)
        self._starts = np.flatnonzero(np.r_[True, ordered_N[1:] != ordered_N[:-1]]) if len(ordered_N) else None

    def auroc(self, weights_N: Doubles) -> float | None:
        """weights_N: how much each of the numbers counts, in the order in which they were given."""
        if self._starts is None:
            return None
        weights = weights_N[self._order_N]
        good = np.add.reduceat(weights * self._good_N, self._starts)
        bad = np.add.reduceat(weights * (1.0 - self._good_N), self._starts)
        pairs = float(good.sum()) * float(bad.sum())
        below = np.cumsum(bad) - bad
        return float(good @ (below + bad / 2)) / pairs if pairs > 0 else None


def auroc_with_interval(good_N: Booleans, scores_N: Doubles, units_N: Integers) -> Estimate:
    """units_N: which solution each number belongs to (0, 1, ...): solutions are resampled, with all their steps."""
    if not len(scores_N):
        return Estimate(None)
    separation = Separation(good_N, scores_N)
    return bootstrap(lambda weights: separation.auroc(weights[units_N]), int(units_N.max()) + 1)


def correlations(one_N: Doubles, other_N: Doubles) -> dict[str, float | None]:
    """Pearson's and Spearman's coefficient; None for fewer than three numbers or numbers without differences."""
    if len(one_N) < 3 or np.ptp(one_N) == 0 or np.ptp(other_N) == 0:
        return {"pearson": None, "spearman": None}
    from scipy.stats import pearsonr, spearmanr  # not among the packages that `stepscore score` needs

    return {
        "pearson": float(pearsonr(one_N, other_N).statistic),
        "spearman": float(spearmanr(one_N, other_N).statistic),
    }
