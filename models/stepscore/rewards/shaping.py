"""Step rewards to what a trainer adds up: one number at the end of each step.

A trainer sums a sample's rewards (GRPO, RLOO) or sums them from each token on (GAE, REINFORCE++). So the sum of a
shape decides what the policy is paid for: `step` pays for each further step, every other shape for the solution.

Sources: potential-based differences keep the optimal policy (Ng, Harada, Russell, ICML 1999). min_form is PURE's credit
assignment (arXiv 2504.15275): CJReinforce/PURE@41f9363 openrlhf/utils/utils.py:149-183 and, on the branch verl,
@83f9869 verl/workers/fsdp_workers.py:1527-1536, with its temperature 0.1. progress is the change of a value under a
reference (arXiv 2410.08146): what a step adds to what the reference expects of the problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from stepscore.aggregate import SOFT_MIN_TEMPERATURE
from stepscore.errors import InvalidShape

ShapeName = Literal["last", "step", "delta", "min_form", "progress"]


@dataclass(frozen=True, slots=True)
class Shaping:
    """Which shape, and what it needs.

    reference: for progress: the value of the problem before the first step. temperature: of min_form, over 0.
    """

    name: ShapeName = "last"
    reference: float | None = None
    temperature: float = SOFT_MIN_TEMPERATURE


@dataclass(frozen=True, slots=True)
class Shape:
    """compute: n >= 1 step rewards, their score and the options to n numbers. total: what these add up to."""

    compute: Callable[[Sequence[float], float, Shaping], list[float]]
    formula: str
    total: str


def shape_rewards(rewards: Sequence[float], score: float, shaping: Shaping) -> list[float]:
    """One number for each of n >= 1 steps. score: the solution's, which `last` gives to its last step.

    Raises InvalidShape for an unknown name, for progress without a reference, and for a temperature of 0 or less.
    """
    chosen = SHAPES.get(shaping.name)
    if chosen is None:
        known = ", ".join(SHAPES)
        raise InvalidShape(f"no shape is called {shaping.name!r}; choose one of {known}", known=list(SHAPES))
    return chosen.compute(rewards, score, shaping)


def _last(rewards: Sequence[float], score: float, shaping: Shaping) -> list[float]:
    return [0.0] * (len(rewards) - 1) + [score]


def _step(rewards: Sequence[float], score: float, shaping: Shaping) -> list[float]:
    return list(rewards)


def _delta(rewards: Sequence[float], score: float, shaping: Shaping) -> list[float]:
    return _differences(rewards, 0.0)


def _min_form(rewards: Sequence[float], score: float, shaping: Shaping) -> list[float]:
    if not 0.0 < shaping.temperature < math.inf:
        raise InvalidShape(f"the temperature of min_form is a number over 0, not {shaping.temperature}")
    lowest = min(rewards)
    weights = [math.exp((lowest - reward) / shaping.temperature) for reward in rewards]
    total = math.fsum(weights)
    return [weight / total * reward for weight, reward in zip(weights, rewards, strict=True)]


def _progress(rewards: Sequence[float], score: float, shaping: Shaping) -> list[float]:
    if shaping.reference is None:
        raise InvalidShape("progress needs a reference: the value of the problem before the first step")
    return _differences(rewards, shaping.reference)


def _differences(values: Sequence[float], before: float) -> list[float]:
    return [after - earlier for earlier, after in pairwise([before, *values])]


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "last": Shape(_last, "score at the last step, 0 before", "score"),
        "step": Shape(_step, "r_i", "sum_i r_i"),
        "delta": Shape(_delta, "r_i - r_(i-1), r_0 = 0", "r_n"),
        "min_form": Shape(_min_form, "softmax(-r/T)_i r_i", "soft minimum of r"),
        "progress": Shape(_progress, "r_i - r_(i-1), r_0 = reference", "r_n - reference"),
    }
)
