"""Rewards as colours in the terminal, in notebooks and in reports: red is bad, yellow doubtful, green good."""

from __future__ import annotations

import math
from collections.abc import Sequence

PROBABILITY = "probability"


def goodness(reward: float, kind: str = PROBABILITY) -> float:
    """A reward on a scale from bad (0) to good (1): itself if it is a probability, otherwise squashed around 0.

    kind: of the reward's range.
    """
    return reward if kind == PROBABILITY else 0.5 + 0.5 * math.tanh(reward / 2)


def colour(share: float) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of a goodness."""
    return round(235 * min(1.0, 2 - 2 * share)), round(190 * min(1.0, 2 * share)), 60


def kind_of(rewards: Sequence[float]) -> str:
    """The kind of rewards of which nothing else is known: probabilities if all of them could be."""
    return PROBABILITY if all(0.0 <= reward <= 1.0 for reward in rewards) else "real"
