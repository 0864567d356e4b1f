"""Readers: from the head's numbers to step rewards. Softmax and sigmoid in fp64 over fp32 logits.

Shape suffixes: S read positions (steps), C numbers per position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stepscore.types import EncodedSolution, Reading, Values

Reader = Callable[[Sequence[Values], EncodedSolution], Reading]
"""Takes one (S, C) array per sequence of the solution and returns one reward per step."""

Float64s = NDArray[np.float64]


def softmax(logits_SC: Values) -> Float64s:
    shifted = logits_SC.astype(np.float64) - logits_SC.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), dtype=np.float64)


def sigmoid(logits: Values | Float64s) -> Float64s:
    x = logits.astype(np.float64)
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)), dtype=np.float64)


def reading(rewards_S: Float64s, logits_SC: Values) -> Reading:
    """A plain reading: rewards with the logits that they are made of."""
    return Reading(
        rewards=tuple(float(reward) for reward in rewards_S),
        logits=tuple(tuple(float(number) for number in row) for row in logits_SC),
    )


def join_rows(values: Sequence[Values]) -> Values:
    """All sequences' rows in order; for per-prefix families each sequence carries one row per step."""
    return values[0] if len(values) == 1 else np.concatenate(list(values))


def softmax_of(index: int) -> Reader:
    """reward = softmax(logits)[index]."""

    def read(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
        logits_SC = join_rows(values)
        return reading(softmax(logits_SC)[:, index], logits_SC)

    return read


def sigmoid_value(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    """reward = sigmoid(v), one value per step."""
    logits_SC = join_rows(values)
    return reading(sigmoid(logits_SC[:, 0]), logits_SC)


def raw_value(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    """reward = v itself, unbounded."""
    logits_SC = join_rows(values)
    return reading(logits_SC[:, 0].astype(np.float64), logits_SC)


def softmax_difference(good: int, bad: int) -> Reader:
    """reward = softmax(logits)[good] - softmax(logits)[bad], in [-1, 1]."""

    def read(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
        logits_SC = join_rows(values)
        probabilities = softmax(logits_SC)
        return reading(probabilities[:, good] - probabilities[:, bad], logits_SC)

    return read
