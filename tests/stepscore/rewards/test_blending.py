"""Process and outcome in one reward: weights, gate, clipping, length; and signs of reward hacking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.errors import InvalidShape, NoOutcome
from stepscore.rewards.blending import Blend, blend_rewards, clip_rewards, outcome_reward
from stepscore.rewards.hacking_signs import find_signs, length_correlation, outcome_gap
from stepscore.types import PROBABILITY, RewardRange
from stepscore.verify.verifier import Verified

RIGHT, WRONG = Verified("right", "18"), Verified("wrong", "17", "17 is not 18")
STEPS = st.lists(st.floats(-5, 5), min_size=1, max_size=20)
WEIGHT = st.floats(0, 3)


@given(STEPS, WEIGHT, WEIGHT)
def test_weights_add_up_and_the_outcome_is_on_the_last_step(
    shaped: list[float], process: float, outcome: float
) -> None:
    blend = Blend(process, outcome)
    found = blend_rewards(0.5, shaped, 1.0, right=True, blend=blend)
    assert found.reward == pytest.approx(process * 0.5 + outcome)
    assert found.steps[:-1] == tuple(process * reward for reward in shaped[:-1])
    assert found.total == pytest.approx(process * math.fsum(shaped) + outcome, abs=1e-9)


@given(STEPS, st.floats(-5, 5), st.floats(-2, 2))
def test_a_wrong_answer_s_reward_never_exceeds_the_gate(shaped: list[float], score: float, gate: float) -> None:
    found = blend_rewards(score, shaped, 0.0, right=False, blend=Blend(gate=gate))
    assert found.reward <= gate
    assert found.total <= gate + 1e-9
    free = blend_rewards(score, shaped, 0.0, right=False, blend=Blend())
    assert found.steps[:-1] == free.steps[:-1], "only the last step pays for the answer"
    if free.total <= gate:
        assert found.total == pytest.approx(free.total, abs=1e-9)


@given(STEPS)
def test_without_a_known_answer_nothing_is_added_or_gated(shaped: list[float]) -> None:
    found = blend_rewards(0.5, shaped, None, right=False, blend=Blend(gate=-9.0, outcome=7.0))
    assert (found.reward, found.steps) == (0.5, tuple(shaped))


@pytest.mark.parametrize(("length", "total"), [("none", 6.0), ("steps", 2.0), ("tokens", 0.5)])
def test_length_divides_what_the_steps_get(length: str, total: float) -> None:
    blend = Blend(length=length)  # type: ignore[arg-type]
    found = blend_rewards(0.5, [1.0, 2.0, 3.0], 1.0, right=True, blend=blend, tokens=12)
    assert found.total == pytest.approx(total + 1.0), "the outcome is not divided"
    assert found.reward == 1.5, "the score has no length"


def test_what_cannot_be_blended_says_what_to_change() -> None:
    with pytest.raises(InvalidShape, match="send offsets"):
        blend_rewards(0.5, [0.5], None, right=False, blend=Blend(length="tokens"))
    with pytest.raises(InvalidShape, match="over"):
        clip_rewards([0.5], Blend(clip=(1.0, 0.0)))


@given(STEPS)
def test_step_rewards_are_clipped(rewards: list[float]) -> None:
    assert clip_rewards(rewards, Blend()) == rewards
    clipped = clip_rewards(rewards, Blend(clip=(-1.0, 1.0)))
    assert all(abs(each) <= 1 for each in clipped)
    assert [a for a, b in zip(clipped, rewards, strict=True) if abs(b) < 1] == [b for b in rewards if abs(b) < 1]


def test_an_answer_that_cannot_be_read_is_an_error_unless_it_is_taken_as_wrong() -> None:
    unreadable = Verified("unreadable", None, "it states no answer")
    with pytest.raises(NoOutcome, match="states no answer"):
        outcome_reward(unreadable, Blend())
    blend = Blend(right=2.0, wrong=-1.0, unreadable="wrong")
    assert [outcome_reward(each, blend) for each in (RIGHT, WRONG, unreadable)] == [2.0, -1.0, -1.0]


PROBLEM = "Janet's ducks lay 16 eggs a day. How many does she sell?"


def test_signs_name_the_steps() -> None:
    steps = ["She sells 16 - 7 = 9.", "Thanks!", "she  SELLS 16 - 7 = 9.", "So <extra_0> the eggs.", "Happy birthday"]
    found = find_signs(PROBLEM, steps, 0.9)
    assert (found.repeated_steps, found.steps_without_content, found.marker_text, found.gap) == (
        (2,),
        (1, 4),
        (3,),
        0.9,
    )


def test_a_word_that_holds_a_marker_is_none() -> None:
    assert find_signs(PROBLEM, ["носки 3", "3 ки"], None).marker_text == (1,)


def test_the_gap_is_the_score_less_the_outcome() -> None:
    assert outcome_gap(0.9, PROBABILITY, right=False) == pytest.approx(0.9)
    assert outcome_gap(0.9, PROBABILITY, right=True) == pytest.approx(-0.1)
    assert outcome_gap(0.0, RewardRange("difference", -1.0, 1.0), right=False) == pytest.approx(0.5)
    assert outcome_gap(3.0, RewardRange("log_ratio", -math.inf, math.inf), right=True) is None
    assert outcome_gap(2.5, PROBABILITY, right=True) is None, "a sum leaves the range"


def test_correlation_with_length() -> None:
    assert length_correlation([0.1, 0.2, 0.3], [1, 2, 3]) == pytest.approx(1.0)
    assert length_correlation([0.1, 0.2], [1, 2]) is None
    assert length_correlation([0.5] * 4, [1, 2, 3, 4]) is None
    assert length_correlation([0.0, 0.0, 1e-300], [1, 2, 3]) is None, "its square is 0"
    assert length_correlation([0.1, 0.2, 0.3], [2, 2, 2]) is None
