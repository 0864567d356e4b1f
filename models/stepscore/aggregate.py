"""Step rewards to one score. Every aggregate is pure; those that need probabilities refuse other ranges.

Sources: min, product, mean and last are the choices of the PRM literature (arXiv 2305.20050, 2312.08935, 2501.07301);
soft-min is PURE's credit assignment (arXiv 2504.15275) with its temperature 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from stepscore.errors import InvalidThreshold, UndefinedAggregate, UnknownAggregate
from stepscore.types import RewardRange

SOFT_MIN_TEMPERATURE = 0.1


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One way to turn n >= 1 step rewards into a score.

    needs_probability: undefined outside [0, 1]. keeps_range: the score of rewards in [0, 1] lies there too.
    """

    compute: Callable[[Sequence[float]], float]
    formula: str
    needs_probability: bool = False
    keeps_range: bool = True


def mean(rewards: Sequence[float]) -> float:
    return math.fsum(rewards) / len(rewards)


def geometric_mean(rewards: Sequence[float]) -> float:
    if min(rewards) == 0.0:
        return 0.0
    return math.exp(mean([math.log(reward) for reward in rewards]))


def weighted_mean(rewards: Sequence[float]) -> float:
    """Weights 1, 1/2, 1/3, ...: an early step carries every later one."""
    weights = [1.0 / (step + 1) for step in range(len(rewards))]
    return math.fsum(w * r for w, r in zip(weights, rewards, strict=True)) / math.fsum(weights)


def soft_min(rewards: Sequence[float]) -> float:
    lowest = min(rewards)
    weights = [math.exp((lowest - reward) / SOFT_MIN_TEMPERATURE) for reward in rewards]
    return math.fsum(w * r for w, r in zip(weights, rewards, strict=True)) / math.fsum(weights)


AGGREGATES: Mapping[str, Aggregate] = MappingProxyType(
    {
        "min": Aggregate(min, "min_i r_i"),
        "prod": Aggregate(math.prod, "prod_i r_i", needs_probability=True),
        "mean": Aggregate(mean, "(1/n) sum_i r_i"),
        "last": Aggregate(lambda rewards: rewards[-1], "r_n"),
        "geometric_mean": Aggregate(geometric_mean, "(prod_i r_i)^(1/n)", needs_probability=True),
        "weighted_mean": Aggregate(weighted_mean, "sum_i w_i r_i / sum_i w_i, w_i = 1/i"),
        "soft_min": Aggregate(soft_min, "sum_i softmax(-r/0.1)_i r_i"),
        "sum": Aggregate(math.fsum, "sum_i r_i", keeps_range=False),
    }
)


def aggregate(rewards: Sequence[float], name: str, range_: RewardRange) -> float:
    """The score of n >= 1 rewards. Raises UnknownAggregate or UndefinedAggregate, ValueError without rewards."""
    _check(rewards)
    chosen = AGGREGATES.get(name)
    if chosen is None:
        raise UnknownAggregate(
            f"no aggregate is called {name!r}; choose one of {', '.join(AGGREGATES)}",
            aggregate=name,
            known=list(AGGREGATES),
        )
    if chosen.needs_probability and range_.kind != "probability":
        raise UndefinedAggregate(
            f"{name!r} needs rewards in [0, 1], this model's are of kind {range_.kind}",
            aggregate=name,
            range=range_.kind,
        )
    return chosen.compute(rewards)


def aggregate_all(rewards: Sequence[float], range_: RewardRange) -> dict[str, float]:
    """Every aggregate that is defined on the range, by name. Raises ValueError without rewards."""
    _check(rewards)
    return {
        name: chosen.compute(rewards)
        for name, chosen in AGGREGATES.items()
        if range_.kind == "probability" or not chosen.needs_probability
    }


def weakest_step(rewards: Sequence[float]) -> int:
    """Index of the lowest reward; the first of equals. Raises ValueError without rewards."""
    _check(rewards)
    return min(range(len(rewards)), key=rewards.__getitem__)


def first_error(rewards: Sequence[float], threshold: float) -> int | None:
    """Index of the first step whose reward is under the threshold, or None (ProcessBench's reading)."""
    return next((step for step, reward in enumerate(rewards) if reward < threshold), None)


def check_threshold(threshold: float, range_: RewardRange) -> None:
    """Raises InvalidThreshold if it is not a number, or lies outside the interval of the rewards.

    Rewards without bounds (log-ratios, values of a head) have any finite number as a threshold.
    """
    if math.isfinite(threshold) and range_.low <= threshold <= range_.high:
        return
    between = f"between {range_.low:g} and {range_.high:g}" if math.isfinite(range_.high) else "finite"
    raise InvalidThreshold(
        f"the threshold {threshold:g} must be {between}, as this model's rewards are",
        threshold=threshold,
        low=range_.low,
        high=range_.high,
    )


def _check(rewards: Sequence[float]) -> None:
    if not len(rewards):
        raise ValueError("there are no rewards; a solution has at least one step")
