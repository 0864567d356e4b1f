"""Constants fitted to labelled steps: 0.5 lies where first errors are found best, and slopes fit the labels."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn", reason="needs the dev extra")

from recipes.embedded.fit import LabelledStep, constants, steepness, threshold

SOUND, WRONG = (-0.5, -1.0, -2.0), (-5.0, -6.0)


def step(lowest: float, label: float | None, *, wordy: bool = False) -> LabelledStep:
    return LabelledStep(lowest, label, wordy)


SOLUTIONS = [
    [step(-0.5, 1.0), step(-1.0, 1.0)],
    [step(-2.0, 1.0), step(-5.0, 0.0), step(-9.0, None)],
    [step(-20.0, 1.0, wordy=True), step(-6.0, 0.0)],
    [step(-8.0, 1.0, wordy=True), step(-25.0, 0.0, wordy=True)],
]


def test_the_threshold_parts_sound_from_wrong_steps_and_words_are_no_errors() -> None:
    assert -5.0 < threshold(SOLUTIONS) <= -2.0


def test_without_errors_there_is_nothing_to_tune() -> None:
    with pytest.raises(ValueError, match="without"):
        threshold(SOLUTIONS[:1])


def test_one_half_lies_at_the_threshold() -> None:
    found = constants(SOLUTIONS)
    assert -found["offset"] / found["slope"] == pytest.approx(threshold(SOLUTIONS))
    assert found["wordy_slope"] > 0


def test_the_more_labels_overlap_the_flatter_is_the_slope() -> None:
    apart = [step(-1.0, 1.0), step(-2.0, 1.0), step(-5.0, 0.0), step(-6.0, 0.0)]
    mixed = [step(-1.0, 1.0), step(-5.0, 1.0), step(-2.0, 0.0), step(-6.0, 0.0)]
    assert steepness(mixed, -3.5) < steepness(apart, -3.5)
