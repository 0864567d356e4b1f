"""A calibration: the formula, what it refuses, and its file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.calibration import Calibration, calibrate, read_calibration
from stepscore.errors import InvalidOption
from stepscore.types import PROBABILITY, Reading, RewardRange

probabilities = st.floats(1e-9, 1 - 1e-9)


@given(st.lists(probabilities, min_size=1), st.floats(0.1, 10), st.floats(-3, 3))
def test_the_formula(rewards: list[float], temperature: float, bias: float) -> None:
    found = Calibration(temperature, bias).apply(rewards)
    for reward, scaled in zip(rewards, found, strict=True):
        logit = math.log(reward) - math.log1p(-reward)
        assert scaled == pytest.approx(1 / (1 + math.exp(-(logit / temperature + bias))))


@given(st.lists(probabilities, min_size=2), st.floats(0.1, 10))
def test_the_order_stays(rewards: list[float], temperature: float) -> None:
    found = Calibration(temperature).apply(sorted(rewards)).tolist()
    assert found == sorted(found)


def test_certainty_stays_certainty() -> None:
    assert Calibration(2.0, 0.3).apply([0.0, 1.0]).tolist() == [0.0, 1.0]


def test_logits_and_extras_of_a_reading_stay_raw() -> None:
    reading = Reading((0.9, 0.2), ((1.0,), (2.0,)), {"spread": (0.1, 0.2)})
    found = calibrate(reading, Calibration(2.0))
    assert found.rewards == pytest.approx((0.75, 1 / 3))
    assert (found.logits, found.extras) == (reading.logits, reading.extras)
    assert calibrate(reading, None) is reading


def test_only_probabilities_of_the_same_weights_are_scaled() -> None:
    Calibration(2.0, revision="abc").check(PROBABILITY, "abc")
    Calibration(2.0).check(PROBABILITY, "abc")
    with pytest.raises(InvalidOption, match="are of kind log_ratio"):
        Calibration(2.0).check(RewardRange("log_ratio", -math.inf, math.inf), "abc")
    with pytest.raises(InvalidOption, match="fitted on revision abc, the model is def"):
        Calibration(2.0, revision="abc").check(PROBABILITY, "def")


def test_a_file_is_read_with_what_it_was_fitted_on(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps({"temperature": 1.5, "bias": -0.2, "revision": "abc", "steps": 7}))
    assert read_calibration(file) == Calibration(1.5, -0.2, "abc")


@pytest.mark.parametrize("text", ["", "[]", "3", '{"bias": 1}', '{"temperature": 0}', '{"temperature": "x"}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(text)
    with pytest.raises(InvalidOption, match="calibration"):
        read_calibration(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"none\.json is not a calibration file: .*No such file"):
        read_calibration(tmp_path / "none.json")
