"""The class head that ships beside the reading: one reward at the marker after each step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import embedded_case
from stepscore.checkpoint import read_facts
from stepscore.embedded import prepare as preparing
from stepscore.scoring.protocol import Scoring
from stepscore.types import Reading, Solution

pytestmark = embedded_case.head_needed

PROBLEM = "Sue has 12 apples and gives 5 away. How many are left?"


@pytest.fixture(scope="module")
def head() -> Iterator[Scoring]:
    with embedded_case.head_scorer() as scorer:
        yield scorer


def test_it_is_a_checkpoint_of_its_own_on_the_same_base() -> None:
    facts = read_facts(preparing.prepare(preparing.EMBEDDED_HEAD))
    assert facts.architectures == ("Qwen2ForProcessRewardModel",)
    assert facts.shapes["model.embed_tokens.weight"] == (151936, 896)
    assert facts.shapes["score.0.weight"] == (896, 896)
    assert facts.shapes["score.2.weight"] == (2, 896)


def test_its_name_opens_it_as_a_class_head(head: Scoring) -> None:
    assert (head.info.id, head.info.family, head.info.aggregate) == ("embedded-head", "qwen_math", "last")


def test_each_step_has_a_reward_and_a_typed_marker_is_text(head: Scoring) -> None:
    steps = ("12 - 5 = 7 apples are left.", "So <extra_0> the answer is 7.")
    reading = head.score(Solution(PROBLEM, steps))
    assert isinstance(reading, Reading)
    assert len(reading.rewards) == 2
    assert len({0.0, 1.0, *reading.rewards}) == 4
