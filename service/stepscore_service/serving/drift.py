"""Drift: whether the scores of a policy version still look like those of the first one.

A score here is the model's own default aggregate, whatever a request asks for, so that all of them mean the same. The
first scores that come with a version are the reference; each version keeps its latest ones. Both are bounded in number,
and so are the versions. Other weights of the reward model begin anew.

Sources: population stability index, sum_i (a_i - e_i) ln(a_i / e_i) over ten bins that the reference fills evenly;
the usual reading is 0.1 for a shift, 0.25 for a large one (Siddiqi, Credit Risk Scorecards, 2006). Kolmogorov-Smirnov:
the largest distance of the two distribution functions, with the asymptotic p-value of two samples.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

BINS = 10
TENANTS = 32
"""Those that came last are kept."""
VERSIONS = 16
"""Those that came last are kept; the reference stays when its version is forgotten."""
LEAST_SCORES = 20
"""Fewer say nothing, so there is no number for them."""
EMPTY_SHARE = 1e-4
"""Stands for an empty bin, whose logarithm does not exist."""


@dataclass(frozen=True, slots=True)
class DriftNumbers:
    """Of one sample against a reference. ks_p_value: how likely a distance as large is if nothing has changed."""

    psi: float
    ks: float
    ks_p_value: float


@dataclass(frozen=True, slots=True)
class VersionDrift:
    """One policy version. scores: how many are compared. numbers: None while there are too few."""

    version: str
    scores: int
    mean: float
    histogram: tuple[int, ...]
    numbers: DriftNumbers | None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """edges: of the histograms, from the reference; those of the last bins are open. versions: oldest first."""

    reference_version: str | None
    reference_scores: int
    edges: tuple[float, ...]
    reference_histogram: tuple[int, ...]
    versions: tuple[VersionDrift, ...]


@dataclass(slots=True)
class DriftMonitor:
    """The scores of one model's weights. Safe from any thread. window: scores of the reference, and of each version."""

    window: int
    _versions: dict[str, deque[float]] = field(default_factory=dict)
    _reference: list[float] = field(default_factory=list)
    _first: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, version: str, score: float) -> None:
        """A score of that policy version."""
        with self._lock:
            if self._first is None:
                self._first = version
            if len(self._reference) < self.window and version == self._first:
                self._reference.append(score)
            kept = self._versions.setdefault(version, deque(maxlen=self.window))
            kept.append(score)
            while len(self._versions) > VERSIONS:
                del self._versions[next(iter(self._versions))]

    def latest(self) -> DriftNumbers | None:
        """Of the version that came last; None while there are too few scores."""
        with self._lock:
            reference, sample = list(self._reference), list(next(reversed(self._versions.values()), []))
        return compare(reference, sample)

    def report(self) -> DriftReport:
        """Every version that is kept, against the reference."""
        with self._lock:
            first, reference = self._first, list(self._reference)
            kept = [(version, list(scores)) for version, scores in self._versions.items()]
        inner = inner_edges(reference) if reference else ()
        return DriftReport(
            reference_version=first,
            reference_scores=len(reference),
            edges=inner,
            reference_histogram=histogram(reference, inner),
            versions=tuple(_of_version(version, scores, reference, inner) for version, scores in kept),
        )


@dataclass(slots=True)
class TenantDrift:
    """A monitor for each tenant, so that nobody sees another's versions or moves another's reference."""

    window: int
    _monitors: dict[str, DriftMonitor] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, tenant: str) -> DriftMonitor:
        """The tenant's own; a new one if it has none. "" for requests without a key."""
        with self._lock:
            found = self._monitors.setdefault(tenant, DriftMonitor(self.window))
            while len(self._monitors) > TENANTS:
                del self._monitors[next(iter(self._monitors))]
            return found

    def largest(self) -> DriftNumbers | None:
        """Of the latest versions of all tenants, the one that is furthest away by PSI."""
        with self._lock:
            monitors = list(self._monitors.values())
        found = [numbers for each in monitors if (numbers := each.latest()) is not None]
        return max(found, key=lambda numbers: numbers.psi, default=None)


def compare(reference: Sequence[float], sample: Sequence[float]) -> DriftNumbers | None:
    """None if either has fewer than LEAST_SCORES."""
    if min(len(reference), len(sample)) < LEAST_SCORES:
        return None
    distance = ks_distance(reference, sample)
    return DriftNumbers(
        psi=psi(reference, sample, inner_edges(reference)),
        ks=distance,
        ks_p_value=ks_p_value(distance, len(reference), len(sample)),
    )


def inner_edges(reference: Sequence[float]) -> tuple[float, ...]:
    """What parts the reference into bins of equal share; fewer than BINS if it repeats values."""
    return tuple(float(edge) for edge in np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1])))


def histogram(scores: Sequence[float], edges: Sequence[float]) -> tuple[int, ...]:
    """How many lie in each bin: below the first edge, from each edge to the next, and from the last one on."""
    places = np.searchsorted(edges, scores, side="right")
    return tuple(np.bincount(places, minlength=len(edges) + 1).tolist())


def psi(reference: Sequence[float], sample: Sequence[float], edges: Sequence[float]) -> float:
    """The population stability index over these bins."""
    expected, actual = (
        np.maximum(np.array(histogram(each, edges)) / len(each), EMPTY_SHARE) for each in (reference, sample)
    )
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def ks_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest distance of the two empirical distribution functions."""
    first, second = np.sort(one), np.sort(other)
    every = np.concatenate([first, second])
    below_first = np.searchsorted(first, every, side="right") / len(first)
    below_second = np.searchsorted(second, every, side="right") / len(second)
    return float(np.max(np.abs(below_first - below_second)))


def ks_p_value(distance: float, one: int, other: int) -> float:
    """Kolmogorov's limit: 2 sum_k (-1)^(k-1) exp(-2 k^2 x^2), x = distance * sqrt(n m / (n + m))."""
    x = distance * np.sqrt(one * other / (one + other))
    if x < 0.2:  # the series converges slowly there, and its value is 1 to ten digits
        return 1.0
    k = np.arange(1, 101)
    return float(np.clip(2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * k**2 * x**2)), 0.0, 1.0))


def _of_version(version: str, scores: list[float], reference: list[float], edges: tuple[float, ...]) -> VersionDrift:
    mean = float(np.mean(scores))
    return VersionDrift(version, len(scores), mean, histogram(scores, edges), compare(reference, scores))
