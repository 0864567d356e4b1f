"""PRMBench's PRM-Score (arXiv 2501.03124; ssmisya/PRMBench, `prmtest_classified/task.py`).

A step is predicted valid or not; "positive" means valid. Shape suffix: S steps of one solution.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from stepscore_service.jobs.metrics.first_error import harmonic

GROUPS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "simplicity": {"NR": "redundency", "NCL": "circular"},
        "soundness": {
            "ES": "counterfactual",
            "SC": "step_contradiction",
            "DC": "domain_inconsistency",
            "CI": "confidence",
        },
        "sensitivity": {"PS": "missing_condition", "DR": "deception", "MS": "multi_solutions"},
    }
)
"""The three groups with their classes: the paper's abbreviation and the name in the data (with its spelling)."""

CLASSES: tuple[str, ...] = tuple(name for group in GROUPS.values() for name in group.values())
ONLY_VALID = "multi_solutions"
"""The class in which every step is valid, so that its score is the F1 of the valid steps alone."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Steps by truth and prediction. true_valid: valid and called so; false_invalid: valid and called invalid."""

    true_valid: int = 0
    false_valid: int = 0
    true_invalid: int = 0
    false_invalid: int = 0

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.true_valid + other.true_valid,
            self.false_valid + other.false_valid,
            self.true_invalid + other.true_invalid,
            self.false_invalid + other.false_invalid,
        )

    @property
    def f1(self) -> float:
        """Of the valid steps; 0 if it is not defined."""
        return _f1(self.true_valid, self.false_valid, self.false_invalid)

    @property
    def f1_invalid(self) -> float:
        """Of the invalid steps; 0 if it is not defined."""
        return _f1(self.true_invalid, self.false_invalid, self.false_valid)

    @property
    def score(self) -> float:
        """PRM-Score: the mean of both."""
        return 0.5 * self.f1 + 0.5 * self.f1_invalid

    @property
    def accuracy(self) -> float | None:
        total = self.true_valid + self.false_valid + self.true_invalid + self.false_invalid
        return (self.true_valid + self.true_invalid) / total if total else None


@dataclass(frozen=True, slots=True)
class PrmScore:
    """Scores in [0, 1]. classes, groups: None if the data holds no item of the class (of a class of the group)."""

    overall: float | None
    groups: Mapping[str, float | None]
    classes: Mapping[str, float | None]


def confusion(valid_S: Sequence[bool], error_steps: Collection[int]) -> Confusion:
    """valid_S: predictions. error_steps: 1-based numbers of the steps that are wrong."""
    wrong_S = [step in error_steps for step in range(1, len(valid_S) + 1)]
    pairs = list(zip(valid_S, wrong_S, strict=True))
    return Confusion(
        true_valid=sum(valid and not wrong for valid, wrong in pairs),
        false_valid=sum(valid and wrong for valid, wrong in pairs),
        true_invalid=sum(not valid and wrong for valid, wrong in pairs),
        false_invalid=sum(not valid and not wrong for valid, wrong in pairs),
    )


def valid_by_level(rewards_S: Sequence[float], threshold: float) -> list[bool]:
    return [reward > threshold for reward in rewards_S]


def valid_by_change(rewards_S: Sequence[float], threshold: float) -> list[bool]:
    """A step is valid if the reward falls by less than -threshold; the first compared with 0 (how Skywork is read)."""
    before = [0.0, *rewards_S[:-1]]
    return [reward - last > threshold for reward, last in zip(rewards_S, before, strict=True)]


def prm_score(by_class: Mapping[str, Confusion]) -> PrmScore:
    """by_class: the counts of each class that the data holds. The overall score pools the steps of all classes."""
    classes = {name: _class_score(name, by_class.get(name)) for name in CLASSES}
    groups = {group: _mean([classes[name] for name in members.values()]) for group, members in GROUPS.items()}
    return PrmScore(pool(by_class.values()).score if by_class else None, groups, classes)


def pool(counts: Iterable[Confusion]) -> Confusion:
    return sum(counts, Confusion())


def _class_score(name: str, counts: Confusion | None) -> float | None:
    if counts is None:
        return None
    return counts.f1 if name == ONLY_VALID else counts.score


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if len(known) == len(scores) else None


def _f1(hits: int, false_alarms: int, misses: int) -> float:
    precision = hits / (hits + false_alarms) if hits + false_alarms else 0.0
    recall = hits / (hits + misses) if hits + misses else 0.0
    return harmonic(precision, recall)
