"""Percentile bootstrap: how far a number would move on other problems of the same kind; and an interval of a share.

Shape suffixes: N units that are resampled (problems or solutions), R rounds, C numbers of each unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]

ROUNDS = 1000
BLOCK = 100
"""Rounds that are drawn at once, so that many units need little memory."""
LEVEL = 0.95
Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with the bounds of its 95% interval. None if it is not defined on the data."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """hits of count, and the 95% Wilson interval of the share; share and bounds are None if count is 0."""

    hits: int
    count: int

    @property
    def share(self) -> float | None:
        return self.hits / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """E. B. Wilson, 1927: holds for small counts and for shares near 0 and 1."""
        if not self.count:
            return None
        n, p, z2 = self.count, self.hits / self.count, Z_95 * Z_95
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        low = 0.0 if self.hits == 0 else max(0.0, centre - half)
        return low, 1.0 if self.hits == n else min(1.0, centre + half)


def bootstrap(statistic: Callable[[Doubles], float | None], count: int, rounds: int = ROUNDS) -> Estimate:
    """The statistic with equal weights, and its percentile interval over `rounds` resamples of the units (seed 0).

    statistic: takes how often each of the `count` units is drawn, shape (N,); None if it is undefined on a draw.
    Draws on which it is undefined are left out.
    """
    value = statistic(np.ones(count)) if count else None
    if value is None:
        return Estimate(None)
    rng = np.random.default_rng(0)
    chances_N = np.full(count, 1.0 / count)
    draws = (statistic(rng.multinomial(count, chances_N).astype(np.float64)) for _ in range(rounds))
    return Estimate(value, *percentiles([draw for draw in draws if draw is not None]))


def share_with_interval(hits: int, count: int) -> Estimate:
    """A share of independent problems with Wilson's score interval, which has a width at 0% and at 100% too."""
    rate = Rate(hits, count)
    return Estimate(rate.share, *(rate.interval or ()))


def mean_with_interval(values_N: Doubles, rounds: int = ROUNDS) -> Estimate:
    """The mean of one number for each unit."""
    return means_with_intervals(values_N[:, None], rounds)[0]


def means_with_intervals(values_NC: Doubles, rounds: int = ROUNDS) -> list[Estimate]:
    """The mean of each column, all of them over the same resamples; as `bootstrap` would find them, but faster."""
    count = len(values_NC)
    if not count:
        return [Estimate(None)] * values_NC.shape[1]
    rng = np.random.default_rng(0)
    chances_N = np.full(count, 1.0 / count)
    blocks = (rng.multinomial(count, chances_N, size=min(BLOCK, rounds - at)) for at in range(0, rounds, BLOCK))
    means_RC = np.concatenate([block_RN @ values_NC for block_RN in blocks]) / count
    low_C, high_C = np.quantile(means_RC, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [Estimate(*map(float, found)) for found in zip(values_NC.mean(axis=0), low_C, high_C, strict=True)]


def percentiles(draws: list[float]) -> tuple[float | None, float | None]:
    if not draws:
        return None, None
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def weighted_mean(values_N: Doubles | Booleans, weights_N: Doubles) -> float | None:
    """None if nothing has any weight."""
    total = float(weights_N.sum())
    return float(weights_N @ values_N) / total if total > 0 else None
