"""Whether a reward of 0.8 means that 80% of such steps are sound, and the temperature that makes it so.

Shape suffix: N steps, each with a probability and a label in [0, 1] (soft labels are allowed).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from stepscore.calibration import Calibration
from stepscore_service.jobs.metrics.interval import Doubles, Integers

BINS = 10
MAX_SLOPE = 100.0
"""Of the fit, 1 / T: if labels are separated perfectly, there is no best one."""
EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1 when a logarithm is taken."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Steps whose probability lies in [low, high): how many, their mean probability and their mean label."""

    low: float
    high: float
    count: int
    probability: float
    label: float


def reliability(probabilities_N: Doubles, labels_N: Doubles, bins: int = BINS) -> list[Bin]:
    """The bins of equal width that hold a step; the last one holds 1.0 too."""
    places_N = _places(probabilities_N, bins)
    return [
        Bin(
            place / bins,
            (place + 1) / bins,
            int((places_N == place).sum()),
            _mean(probabilities_N[places_N == place]),
            float(labels_N[places_N == place].mean()),
        )
        for place in np.unique(places_N)
    ]


def expected_error(probabilities_N: Doubles, labels_N: Doubles, bins: int = BINS) -> float:
    """ECE: the mean over steps of |mean label - mean probability| of their bin (arXiv 1706.04599)."""
    found = reliability(probabilities_N, labels_N, bins)
    return sum(each.count * abs(each.label - each.probability) for each in found) / len(labels_N)


def brier(probabilities_N: Doubles, labels_N: Doubles) -> float:
    """The mean squared distance of probability and label."""
    return float(((probabilities_N - labels_N) ** 2).mean())


def log_loss(probabilities_N: Doubles, labels_N: Doubles) -> float:
    """Mean cross-entropy in nats."""
    clipped_N = probabilities_N.clip(EDGE, 1 - EDGE)
    return float(-(labels_N * np.log(clipped_N) + (1 - labels_N) * np.log1p(-clipped_N)).mean())


def fit(probabilities_N: Doubles, labels_N: Doubles, *, with_bias: bool = False) -> Calibration | None:
    """The temperature (and bias) of least cross-entropy: p -> sigmoid(logit(p) / T + b).

    None if it does not exist: labels of one kind only, or rewards that say nothing or the opposite (1 / T <= 0).
    """
    if not len(labels_N) or labels_N.min() == labels_N.max():
        return None
    logits_N = logit(probabilities_N.clip(EDGE, 1 - EDGE))

    def loss_and_slope(parameters: Doubles) -> tuple[float, Doubles]:
        slope, bias = parameters[0], parameters[1] if with_bias else 0.0
        z_N = slope * logits_N + bias
        residual_N = expit(z_N) - labels_N
        loss = float((np.logaddexp(0.0, z_N) - labels_N * z_N).mean())
        gradient = [float((residual_N * logits_N).mean()), float(residual_N.mean())]
        return loss, np.array(gradient[: len(parameters)])

    start = np.array([1.0, 0.0] if with_bias else [1.0])
    found = minimize(
        loss_and_slope, start, jac=True, method="L-BFGS-B", bounds=[(-100, 100), (None, None)][: len(start)]
    )
    if found.x[0] <= EDGE:
        return None
    return Calibration(temperature=float(1 / found.x[0]), bias=float(found.x[1]) if with_bias else 0.0)


def cross_fit(probabilities_N: Doubles, labels_N: Doubles, units_N: Integers, *, with_bias: bool) -> Doubles | None:
    """Each half of the solutions calibrated by what was fitted on the other half: what to expect on new solutions.

    None if a half cannot be fitted.
    """
    calibrated_N = np.empty_like(probabilities_N)
    for half in (0, 1):
        own_N = units_N % 2 == half
        fitted = fit(probabilities_N[~own_N], labels_N[~own_N], with_bias=with_bias)
        if fitted is None:
            return None
        calibrated_N[own_N] = fitted.apply(probabilities_N[own_N])
    return calibrated_N


def _places(probabilities_N: Doubles, bins: int) -> Integers:
    return np.searchsorted(np.arange(1, bins) / bins, probabilities_N, side="right")


def _mean(numbers_N: Doubles) -> float:
    """Between the smallest and the largest, past which it may be rounded."""
    return float(numbers_N.mean().clip(numbers_N.min(), numbers_N.max()))
