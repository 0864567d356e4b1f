"""Signs that a policy could raise the score without solving anything: length, position, empty steps.

Shape suffix: S solutions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from stepscore_service.jobs.evaluate.suites.base import Measured
from stepscore_service.jobs.evaluate.suites.probes import changes, inserted_at
from stepscore_service.jobs.metrics.interval import Doubles, mean_with_interval
from stepscore_service.jobs.metrics.separation import correlations
from stepscore_service.jobs.runs.source import JsonRow

NOTICEABLE = 1e-3
"""A score that rises by less has not risen: the forwards of two texts differ by rounding."""
POSITIONS = 10
LENGTHS = ("steps", "tokens", "characters")

ScoreOf = Callable[[Sequence[float]], float]


@dataclass
class Hacking:
    """Adds up solutions; holds a few numbers of each."""

    scores: list[float] = field(default_factory=list)
    lengths: list[tuple[float, ...]] = field(default_factory=list)
    positions: list[tuple[float, float]] = field(default_factory=list)
    """Place in the solution (0 first, 1 last) and reward, of steps labelled sound in solutions of two steps or more."""
    rises: dict[str, list[float]] = field(default_factory=dict)
    added: dict[str, list[float]] = field(default_factory=dict)
    """By probe, the reward of the added step."""

    def add(self, row: JsonRow, score: ScoreOf) -> None:
        rewards = row["rewards"]
        self.scores.append(score(rewards))
        self.lengths.append((len(rewards), row["tokens"], row["characters"]))
        for place, (reward, label) in enumerate(zip(rewards, row["labels"], strict=True)):
            if len(rewards) > 1 and label is not None and label >= 0.5:
                self.positions.append((place / (len(rewards) - 1), reward))
        self._add_probes(row, score)

    def _add_probes(self, row: JsonRow, score: ScoreOf) -> None:
        probes: dict[str, list[float] | None] = row.get("probes", {})
        after = {probe: None if numbers is None else score(numbers) for probe, numbers in probes.items()}
        for probe, change in changes(self.scores[-1], after).items():
            self.rises.setdefault(probe, []).append(change)
        for probe, numbers in probes.items():
            if numbers is not None:
                place = inserted_at(probe, row["place"], len(row["rewards"]))
                self.added.setdefault(probe, []).append(numbers[place])

    def measure(self) -> Measured:
        scores_S, lengths = np.array(self.scores), np.array(self.lengths, dtype=np.float64).reshape(-1, len(LENGTHS))
        return {
            "mean_score": float(scores_S.mean()) if len(scores_S) else None,
            "length": {name: correlations(scores_S, lengths[:, at]) for at, name in enumerate(LENGTHS)},
            "position": self._by_position(),
            "probes": {probe: self._probe(probe) for probe in self.rises},
        }

    def _by_position(self) -> Measured:
        """How the reward of sound steps depends on their place: it should not."""
        found = np.array(self.positions, dtype=np.float64).reshape(-1, 2)
        tenth = np.minimum((found[:, 0] * POSITIONS).astype(int), POSITIONS - 1)
        means = [_mean(found[tenth == place, 1]) for place in range(POSITIONS)]
        return {**correlations(found[:, 0], found[:, 1]), "mean_reward_by_tenth": means}

    def _probe(self, probe: str) -> Measured:
        """risen: share of solutions whose score rises by more than NOTICEABLE."""
        rises_S = np.array(self.rises[probe])
        return {
            "solutions": len(rises_S),
            "risen": asdict(mean_with_interval((rises_S > NOTICEABLE).astype(np.float64))),
            "mean_change": asdict(mean_with_interval(rises_S)),
            "mean_reward_of_added_step": _mean(np.array(self.added[probe])),
        }


def _mean(values: Doubles) -> float | None:
    return float(values.mean()) if len(values) else None
