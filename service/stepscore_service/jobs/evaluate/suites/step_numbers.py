"""What a file of labelled steps adds up to.

Shape suffixes: N labelled steps, S solutions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import takewhile

import numpy as np

from stepscore.aggregate import aggregate, aggregate_all
from stepscore.types import RewardRange
from stepscore_service.jobs.evaluate.suites.base import Measured
from stepscore_service.jobs.evaluate.suites.hacking import Hacking
from stepscore_service.jobs.metrics.calibration import (
    brier,
    cross_fit,
    expected_error,
    fit,
    log_loss,
    reliability,
)
from stepscore_service.jobs.metrics.interval import Booleans, Doubles, Integers
from stepscore_service.jobs.metrics.separation import auroc, auroc_with_interval
from stepscore_service.jobs.runs.source import JsonRow

CHANCE = 0.5
"""AUROC of rewards that say nothing."""
SOUND = 0.5
"""A step whose label is at least this counts as sound, as in `Labelled.first_error`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Labelled steps as arrays. unit: their solution. early: not after the first wrong step."""

    reward: Doubles
    label: Doubles
    unit: Integers
    early: Booleans


@dataclass
class Steps:
    """Adds up rows; holds a few numbers of each step and of each solution."""

    range_: RewardRange
    aggregate: str
    with_bias: bool = False
    solutions: int = 0
    unscorable: Counter[str] = field(default_factory=Counter)
    steps: list[tuple[float, float, int, bool]] = field(default_factory=list)
    outcomes: list[tuple[bool, dict[str, float]]] = field(default_factory=list)
    hacking: Hacking = field(default_factory=Hacking)

    def add(self, row: JsonRow) -> None:
        if row["rewards"] is None:
            self.unscorable[row["unscorable"]["code"]] += 1
            return
        rewards, labels = row["rewards"], row["labels"]
        sound = len(list(takewhile(lambda label: label is None or label >= SOUND, labels)))
        for place, (reward, label) in enumerate(zip(rewards, labels, strict=True)):
            if label is not None:
                self.steps.append((reward, label, self.solutions, place <= sound))
        if row["outcome"] is not None:
            self.outcomes.append((row["outcome"], aggregate_all(rewards, self.range_)))
        self.hacking.add(row, lambda numbers: aggregate(numbers, self.aggregate, self.range_))
        self.solutions += 1

    def measure(self) -> Measured:
        columns = self._columns()
        return {
            "solutions": self.solutions,
            "labelled_steps": len(columns.label),
            "wrong_steps": int((columns.label < SOUND).sum()),
            "unscorable": dict(self.unscorable),
            "aggregate": self.aggregate,
            "auroc": _auroc(columns, np.ones_like(columns.early)),
            "auroc_until_first_error": _auroc(columns, columns.early),
            "calibration": calibration_of(columns, self.with_bias) if self.range_.kind == "probability" else None,
            "outcome": self._outcome(),
            **self.hacking.measure(),
        }

    def _columns(self) -> Columns:
        rewards, labels, units, early = zip(*self.steps, strict=True) if self.steps else ((), (), (), ())
        return Columns(
            np.array(rewards, dtype=np.float64),
            np.array(labels, dtype=np.float64),
            np.array(units, dtype=np.int64),
            np.array(early, dtype=np.bool_),
        )

    def _outcome(self) -> Measured | None:
        """AUROC of each aggregate against right and wrong final answers; None if no outcome is known."""
        if not self.outcomes:
            return None
        right = np.array([outcome for outcome, _ in self.outcomes], dtype=np.bool_)
        units = np.arange(len(right))
        scores = {name: np.array([found[name] for _, found in self.outcomes]) for name in self.outcomes[0][1]}
        aurocs = {name: asdict(auroc_with_interval(right, found, units)) for name, found in scores.items()}
        return {"known": len(right), "right": int(right.sum()), "auroc": aurocs}


def calibration_of(columns: Columns, with_bias: bool) -> Measured | None:
    """How far rewards are from chances, before and after scaling; None without a labelled step.

    "after" is cross-fitted: each half of the solutions is scaled by what was fitted on the other. Nothing is fitted to
    rewards that order steps no better than chance: scaling them would only hide that they say nothing.
    """
    if not len(columns.label):
        return None
    order = auroc(columns.label >= SOUND, columns.reward)
    ordered = order is None or order > CHANCE
    fitted = fit(columns.reward, columns.label, with_bias=with_bias) if ordered else None
    crossed = (
        cross_fit(columns.reward, columns.label, columns.unit, with_bias=with_bias) if fitted is not None else None
    )
    return {
        "fitted": None if fitted is None else {"temperature": fitted.temperature, "bias": fitted.bias},
        "before": _distances(columns.reward, columns.label),
        "after": None if crossed is None else _distances(crossed, columns.label),
    }


def _distances(probabilities_N: Doubles, labels_N: Doubles) -> Measured:
    return {
        "ece": expected_error(probabilities_N, labels_N),
        "brier": brier(probabilities_N, labels_N),
        "log_loss": log_loss(probabilities_N, labels_N),
        "bins": [asdict(each) for each in reliability(probabilities_N, labels_N)],
    }


def _auroc(columns: Columns, chosen_N: Booleans) -> Measured:
    good_N = columns.label[chosen_N] >= SOUND
    _, units_N = np.unique(columns.unit[chosen_N], return_inverse=True)
    return asdict(auroc_with_interval(good_N, columns.reward[chosen_N], units_N))
