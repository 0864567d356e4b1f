"""ProcessBench's F1 of finding the first wrong step (arXiv 2412.06559; QwenLM/ProcessBench).

The prediction is the first step whose reward is under the threshold, -1 if there is none. It equals the label for a
whole interval of thresholds, low < threshold <= high, so that one pass over the ends of those intervals gives the F1 of
every threshold exactly.

Shape suffix: N solutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepscore_service.jobs.metrics.interval import Booleans, Doubles, Estimate, Integers, bootstrap, weighted_mean

NO_ERROR = -1
NEVER = (math.inf, -math.inf)
"""The interval of a solution that no threshold gets right, as one without rewards."""


@dataclass(frozen=True, slots=True)
class Windows:
    """For each solution the thresholds at which its first error is found: low_N < threshold <= high_N.

    wrong: whether the solution holds an error.
    """

    low: Doubles
    high: Doubles
    wrong: Booleans

    def __len__(self) -> int:
        return len(self.wrong)


@dataclass(frozen=True, slots=True)
class Accuracies:
    """Shares of solutions whose label is predicted, among those with an error and those without; None without any."""

    error: float | None
    correct: float | None

    @property
    def f1(self) -> float | None:
        """Their harmonic mean; 0 if both are 0, None if one of them is not defined."""
        return None if self.error is None or self.correct is None else harmonic(self.error, self.correct)


def harmonic(one: float, other: float) -> float:
    """0 if both numbers are 0: the limit; the published evaluation divides by zero."""
    return 2 * one * other / (one + other) if one + other > 0 else 0.0


def window(rewards: Sequence[float] | None, label: int) -> tuple[float, float]:
    """The thresholds at which `label` is predicted from these rewards. None: there are no rewards.

    A label that no step has can never be predicted.
    """
    if rewards is None or label >= len(rewards):
        return NEVER
    if label == NO_ERROR:
        return -math.inf, min(rewards)
    before = min(rewards[:label], default=math.inf)
    return (rewards[label], before) if rewards[label] < before else NEVER


def windows(solutions: Sequence[tuple[Sequence[float] | None, int]]) -> Windows:
    """solutions: rewards (or None) and the label of each."""
    bounds = np.array([window(rewards, label) for rewards, label in solutions], dtype=np.float64).reshape(-1, 2)
    return Windows(bounds[:, 0], bounds[:, 1], np.array([label != NO_ERROR for _, label in solutions], dtype=np.bool_))


def accuracies(found: Windows, threshold: float, weights_N: Doubles | None = None) -> Accuracies:
    """weights_N: how often each solution counts; once by default."""
    weights_N = np.ones(len(found)) if weights_N is None else weights_N
    hits_N = (found.low < threshold) & (threshold <= found.high)
    error, correct = (weighted_mean(hits_N, weights_N * kind) for kind in (found.wrong, ~found.wrong))
    return Accuracies(error, correct)


def f1_with_interval(found: Windows, threshold: float, units_N: Integers | None = None) -> Estimate:
    """Solutions are resampled, or with units_N (the problem of each: 0, 1, ...) problems with all their solutions."""
    if units_N is None or not len(units_N):
        units_N = np.arange(len(found))
    count = int(units_N.max()) + 1 if len(units_N) else 0
    return bootstrap(lambda weights: accuracies(found, threshold, weights[units_N]).f1, count)


def curve(found: Windows) -> tuple[Doubles, Doubles]:
    """(thresholds, F1 at each): one threshold inside each stretch on which the F1 is constant, ascending.

    Both are empty if no solution has rewards, or if all or none hold an error.
    """
    ends = np.unique(np.concatenate([found.low, found.high]))
    ends = ends[np.isfinite(ends)]
    if not len(ends) or found.wrong.all() or not found.wrong.any():
        return np.empty(0), np.empty(0)
    thresholds = np.concatenate([ends[:1], (ends[1:] + ends[:-1]) / 2, [np.nextafter(ends[-1], math.inf)]])
    error, correct = (_hit_rate(found, kind, thresholds) for kind in (found.wrong, ~found.wrong))
    total = error + correct
    return thresholds, np.divide(2 * error * correct, total, out=np.zeros_like(total), where=total > 0)


def _hit_rate(found: Windows, kind_N: Booleans, thresholds: Doubles) -> Doubles:
    """The share of the solutions of a kind that are right at each threshold."""
    possible_N = kind_N & (found.low < found.high)
    opened = np.searchsorted(np.sort(found.low[possible_N]), thresholds, side="left")
    closed = np.searchsorted(np.sort(found.high[possible_N]), thresholds, side="left")
    return np.asarray((opened - closed) / kind_N.sum(), dtype=np.float64)


def best_threshold(found: Windows) -> float | None:
    """The threshold of the highest F1, the lowest of equals; None if no F1 is defined."""
    thresholds, f1s = curve(found)
    return float(thresholds[f1s.argmax()]) if len(f1s) else None
