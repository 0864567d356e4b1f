"""The class head's bias: the threshold that finds first errors best becomes 0.5, and nothing changes places."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("sklearn", reason="needs the dev extra")

from recipes.embedded.fit import lowest_best
from recipes.embedded.fit_head import BIAS, moved

SOLVED = [((0.9, 0.8), -1), ((0.9, 0.6, 0.9), 1), ((0.95, 0.85), -1), ((0.65,), 0)]


def sound(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(-1)[:, 1]


def test_the_threshold_parts_wrong_steps_from_sound_ones() -> None:
    assert 0.65 < lowest_best(SOLVED) <= 0.8


def test_the_threshold_becomes_one_half_and_the_order_stays() -> None:
    rewards = torch.tensor([0.1, 0.7, 0.9])
    logits = torch.stack([torch.zeros(3), (rewards / (1 - rewards)).log()], dim=-1)
    shifted = sound(logits + moved({BIAS: torch.zeros(2)}, 0.7)[BIAS])
    assert shifted[1] == pytest.approx(0.5, abs=1e-6)
    assert shifted.tolist() == sorted(shifted.tolist())


@pytest.mark.parametrize("place", [0.0, 1.0, 1.0000001])
def test_a_threshold_at_the_end_of_the_range_does_not_make_the_bias_infinite(place: float) -> None:
    with pytest.raises(ValueError, match="do not part wrong solutions from right ones"):
        moved({BIAS: torch.zeros(2)}, place)
