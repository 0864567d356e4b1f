"""The curves of best-of-n, problem by problem.

Shape suffixes: P problems, N candidates of one problem, K subsets, M sizes n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.special import expit

from stepscore.aggregate import AGGREGATES, aggregate
from stepscore.types import RewardRange
from stepscore_service.jobs.evaluate.suites.base import Measured
from stepscore_service.jobs.metrics.best_of_n import best_of, pass_at, subsets, vote_accuracy
from stepscore_service.jobs.metrics.interval import Booleans, Doubles, Estimate, Integers, means_with_intervals
from stepscore_service.jobs.metrics.separation import auroc_with_interval
from stepscore_service.jobs.runs.source import JsonRow

CHANCE, MAJORITY, ORACLE, ORM = "chance", "majority", "pass", "orm"
BEST, WEIGHTED = "best:", "weighted:"
"""Names of the ways to choose; the last two go before an aggregate's name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """scores: by name, of each candidate; -inf if it has none. groups: same final answer, same number."""

    correct: Booleans
    groups: Sequence[int | None]
    scores: dict[str, Doubles]


@dataclass
class Chooser:
    """Adds up problems; holds a few numbers of each.

    ns: the sizes of the curves; none is larger than the number of candidates of any problem.
    """

    range_: RewardRange
    ns: Sequence[int]
    values: dict[str, list[Doubles]] = field(default_factory=dict)
    scored: dict[str, list[tuple[int, bool, float]]] = field(default_factory=dict)
    problems: int = 0
    candidates: int = 0
    unscorable: int = 0

    def add(self, row: JsonRow) -> None:
        problem = self._problem(row)
        rng = np.random.default_rng(self.problems)
        curves = curves_of(problem, self.ns, rng, probabilities=self.range_.kind == "probability")
        for name, values_M in curves.items():
            self.values.setdefault(name, []).append(values_M)
        for name, scores_N in problem.scores.items():
            pairs = zip(problem.correct.tolist(), scores_N.tolist(), strict=True)
            known = [(self.problems, right, score) for right, score in pairs if np.isfinite(score)]
            self.scored.setdefault(name, []).extend(known)
        self.problems += 1
        self.candidates += len(problem.correct)
        self.unscorable += sum(rewards is None for rewards in row["rewards"])

    def measure(self) -> Measured:
        """A curve for every way to choose that all problems allow; its gain over majority vote at the largest n."""
        whole = {name: np.array(values) for name, values in self.values.items() if len(values) == self.problems}
        gains = np.stack([found[:, -1] - whole[MAJORITY][:, -1] for found in whole.values()], axis=1)
        return {
            "problems": self.problems,
            "candidates": self.candidates,
            "unscorable": self.unscorable,
            "n": list(self.ns),
            "curves": {name: [asdict(each) for each in means_with_intervals(found)] for name, found in whole.items()},
            "gain_over_majority": dict(zip(whole, map(asdict, means_with_intervals(gains)), strict=True)),
            "solution_auroc": {name: asdict(_auroc(rows)) for name, rows in self.scored.items()},
        }

    def _problem(self, row: JsonRow) -> Problem:
        scores = {
            name: np.array([_score(rewards, name, self.range_) for rewards in row["rewards"]])
            for name, chosen in AGGREGATES.items()
            if self.range_.kind == "probability" or not chosen.needs_probability
        }
        if "orm" in row:
            scores[ORM] = np.array([-np.inf if score is None else float(score) for score in row["orm"]])
        return Problem(np.array(row["correct"], dtype=np.bool_), row["groups"], scores)


def curves_of(
    problem: Problem, ns: Sequence[int], rng: np.random.Generator, *, probabilities: bool
) -> dict[str, Doubles]:
    """By way of choosing, the chance to be right at every n."""
    at_each = [_at(problem, subsets(len(problem.correct), n, rng), probabilities) for n in ns]
    return {name: np.array([found[name] for found in at_each]) for name in at_each[0]}


def _at(problem: Problem, chosen_Kn: Integers, probabilities: bool) -> dict[str, float]:
    correct_N, groups_N, n = problem.correct, problem.groups, chosen_Kn.shape[1]
    found = {
        CHANCE: float(correct_N.mean()),
        ORACLE: pass_at(correct_N, n),
        MAJORITY: vote_accuracy(correct_N, groups_N, np.ones(len(correct_N)), chosen_Kn),
    }
    for name, scores_N in problem.scores.items():
        found[ORM if name == ORM else BEST + name] = best_of(correct_N, scores_N, n)
        if name != ORM:
            found[WEIGHTED + name] = vote_accuracy(correct_N, groups_N, _weights(scores_N, probabilities), chosen_Kn)
    return found


def _weights(scores_N: Doubles, probabilities: bool) -> Doubles:
    """What a candidate adds to its answer; as in stepscore.verify.vote, and nothing if it has no score."""
    weights_N = scores_N if probabilities else expit(scores_N)
    return np.where(np.isfinite(scores_N), weights_N, 0.0)


def _score(rewards: Sequence[float] | None, name: str, range_: RewardRange) -> float:
    return -np.inf if rewards is None else aggregate(rewards, name, range_)


def _auroc(rows: list[tuple[int, bool, float]]) -> Estimate:
    units, good, scores = zip(*rows, strict=True) if rows else ((), (), ())
    return auroc_with_interval(
        np.array(good, dtype=np.bool_), np.array(scores, dtype=np.float64), np.array(units, dtype=np.int64)
    )
