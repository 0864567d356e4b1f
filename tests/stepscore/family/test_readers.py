import math

import numpy as np
import pytest

from stepscore.family.readers import raw_value, sigmoid_value, softmax_difference, softmax_of
from stepscore.types import Encoded, EncodedSolution

SOLUTION = EncodedSolution((Encoded((1, 2, 3), (1, 2)),), steps=2)


def values(*rows: tuple[float, ...]) -> list[np.ndarray]:
    return [np.array(rows, dtype=np.float32)]


def test_softmax_by_hand() -> None:
    reading = softmax_of(1)(values((0.0, math.log(3.0)), (2.0, 2.0)), SOLUTION)
    assert reading.rewards == pytest.approx((0.75, 0.5))
    assert reading.logits[1] == (2.0, 2.0)


def test_a_probability_that_underflows_keeps_its_step() -> None:
    reading = softmax_of(1)(values((900.0, -900.0), (0.0, 0.0)), SOLUTION)
    assert reading.rewards == (0.0, 0.5)


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid_value(values((-1e4,), (0.0,)), SOLUTION).rewards == (0.0, 0.5)


def test_difference_and_raw() -> None:
    assert softmax_difference(1, 0)(values((0.0, 0.0), (0.0, 900.0)), SOLUTION).rewards == pytest.approx((0.0, 1.0))
    assert raw_value(values((-3.5,), (2.0,)), SOLUTION).rewards == (-3.5, 2.0)


def test_rows_of_several_sequences_are_joined_in_order() -> None:
    two = [np.array([[0.0, 0.0]], dtype=np.float32), np.array([[0.0, 900.0]], dtype=np.float32)]
    assert softmax_of(1)(two, SOLUTION).rewards == (0.5, 1.0)
