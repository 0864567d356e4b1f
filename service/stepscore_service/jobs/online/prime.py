"""PRIME's numbers: token rewards of an implicit PRM, their scale, and leave-one-out returns with outcomes.

Source: "Process Reinforcement through Implicit Rewards", arXiv 2502.01456, and `prime_core_algos.py` of its verl
recipe. All solutions are ragged: one tensor of T tokens each. gamma is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stepscore.errors import InvalidInput

EPSILON = 1e-6
WHITEN_EPSILON = 1e-8


def token_rewards(numbers_T2: Tensor) -> Tensor:
    """q_t = log pi(t) - log pi_ref(t), without beta. numbers_T2: both log-probabilities."""
    return numbers_T2[:, 0] - numbers_T2[:, 1]


def to_go(rewards_T: Tensor) -> Tensor:
    """At each token the sum from it to the end."""
    return rewards_T.flip(0).cumsum(0).flip(0)


def largest_to_go(rewards_T: Tensor) -> float:
    """Its largest |sum to go|; the largest of a round is the scale of all its rewards."""
    return float(to_go(rewards_T).abs().max())


def scale(rewards_T: Tensor, largest: float) -> Tensor:
    """largest: of the round's `largest_to_go`."""
    return rewards_T / (largest + EPSILON)


def leave_one_out(rewards: Sequence[Tensor], samples: int) -> list[Tensor]:
    """Each token's reward against the mean rewards of the same problem's other solutions.

    r'_{i,t} = r_{i,t} K/(K-1) - sum_j mean_t(r_{j,t}) / (K-1). rewards: K = samples in a row belong to one problem.
    Raises InvalidInput if K is below 2 or does not divide their number.
    """
    if samples < 2 or len(rewards) % samples:
        raise InvalidInput(
            f"{len(rewards)} solutions do not form groups of {samples}; two or more of each problem are needed"
        )
    found = []
    for start in range(0, len(rewards), samples):
        group = rewards[start : start + samples]
        baseline = torch.stack([rewards_T.mean() for rewards_T in group]).sum() / (samples - 1)
        found += [rewards_T * samples / (samples - 1) - baseline for rewards_T in group]
    return found


def returns(
    rewards: Sequence[Tensor],
    outcomes: Sequence[float],
    samples: int,
    process_weight: float = 1.0,
    outcome_weight: float = 1.0,
) -> list[Tensor]:
    """Sums to go of token rewards and of outcomes (which fall on the last token), each against its own baseline."""
    process = leave_one_out(rewards, samples)
    final = leave_one_out([rewards[0].new_tensor([outcome]) for outcome in outcomes], samples)
    return [
        process_weight * to_go(process_T) + outcome_weight * final_1
        for process_T, final_1 in zip(process, final, strict=True)
    ]


@dataclass(slots=True)
class Moments:
    """Count, mean and sum of squared distances from the mean over all tokens of a round, met one solution at a time."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values_T: Tensor) -> None:
        """Chan's update, in double precision."""
        values = values_T.double()
        count, mean = self.count + len(values), float(values.mean())
        apart = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum()) + apart**2 * self.count * len(values) / count
        self.mean += apart * len(values) / count
        self.count = count

    def whiten(self, values_T: Tensor) -> Tensor:
        """Advantages: over the whole round, mean 0 and (unbiased) variance 1."""
        variance = self.squares / max(1, self.count - 1)
        return (values_T - self.mean) / math.sqrt(variance + WHITEN_EPSILON)
