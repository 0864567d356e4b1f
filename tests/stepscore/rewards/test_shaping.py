"""Shapes of step rewards: what they add up to, PURE's own numbers, and what a summing trainer prefers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference.pure import min_form
from stepscore.aggregate import soft_min
from stepscore.errors import InvalidShape
from stepscore.rewards.shaping import SHAPES, ShapeName, Shaping, shape_rewards

REWARDS = st.lists(st.floats(-30, 30), min_size=1, max_size=40)
NAMES: list[ShapeName] = ["last", "step", "delta", "min_form", "progress"]


def shape(rewards: list[float], name: ShapeName, **options: float) -> list[float]:
    return shape_rewards(rewards, min(rewards), Shaping(name, **{"reference": 0.25, **options}))


@given(REWARDS, st.sampled_from(NAMES))
def test_there_is_one_finite_number_for_each_step(rewards: list[float], name: ShapeName) -> None:
    found = shape(rewards, name)
    assert len(found) == len(rewards)
    assert all(map(math.isfinite, found))


@given(REWARDS, st.floats(-30, 30))
def test_each_shape_adds_up_to_what_its_table_says(rewards: list[float], reference: float) -> None:
    totals = {name: math.fsum(shape(rewards, name, reference=reference)) for name in NAMES}
    assert totals == pytest.approx(
        {
            "last": min(rewards),
            "step": math.fsum(rewards),
            "delta": rewards[-1],
            "min_form": soft_min(rewards),
            "progress": rewards[-1] - reference,
        },
        abs=1e-9,
    )
    assert set(SHAPES) == set(totals)


def test_the_page_says_of_every_shape_for_which_trainers_it_is_safe() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rl.md").read_text(encoding="utf-8")
    section = page.partition("## Dense rewards\n")[2].partition("\n### ")[0]
    rows = {
        line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `") and "adds up" not in line
    }
    assert set(rows) == set(SHAPES)
    assert all(SHAPES[name].formula.split(",")[0] in row for name, row in rows.items())
    assert [name for name, row in rows.items() if "**unsafe**" in row] == ["step"]


@given(REWARDS)
def test_differences_telescope_up_to_every_step(rewards: list[float]) -> None:
    found = shape(rewards, "delta")
    for step, reward in enumerate(rewards):
        assert math.fsum(found[: step + 1]) == pytest.approx(reward, abs=1e-9)


@given(REWARDS)
def test_progress_under_the_last_value_adds_up_to_zero(rewards: list[float]) -> None:
    assert math.fsum(shape(rewards, "progress", reference=rewards[-1])) == pytest.approx(0.0, abs=1e-9)


@given(REWARDS, st.floats(0.01, 5))
def test_min_form_lies_between_the_lowest_reward_and_the_mean(rewards: list[float], temperature: float) -> None:
    total = math.fsum(shape(rewards, "min_form", temperature=temperature))
    assert min(rewards) - 1e-9 <= total <= math.fsum(rewards) / len(rewards) + 1e-9


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_min_form_is_pure_s(temperature: float) -> None:
    generator = torch.Generator().manual_seed(3)
    for steps in (1, 2, 7):
        logits_BT2 = torch.randn(1, 40, 2, generator=generator) * 3
        mask_BT = torch.zeros(1, 40, dtype=torch.bool)
        mask_BT[0, torch.randperm(40, generator=generator)[:steps]] = True
        theirs_BT = min_form(logits_BT2, mask_BT, temperature)
        probabilities = logits_BT2.softmax(dim=-1)[mask_BT]
        rewards = (probabilities[:, 1] - probabilities[:, 0]).tolist()
        assert shape(rewards, "min_form", temperature=temperature) == pytest.approx(
            theirs_BT[mask_BT].tolist(), abs=1e-5
        )


@pytest.mark.parametrize(
    ("shaping", "said"),
    [
        (Shaping("progress"), "needs a reference"),
        (Shaping("min_form", temperature=0.0), "over 0"),
        (Shaping("sum"), "choose one of last, step"),  # type: ignore[arg-type]
    ],
)
def test_a_shape_that_lacks_something_says_what(shaping: Shaping, said: str) -> None:
    with pytest.raises(InvalidShape, match=said):
        shape_rewards([0.5], 0.5, shaping)


def grpo_advantages(groups: list[list[float]]) -> list[float]:
    """As verl's compute_grpo_outcome_advantage: each sample's rewards summed, then normalised within the group."""
    scores = torch.tensor([math.fsum(rewards) for rewards in groups])
    return ((scores - scores.mean()) / (scores.std() + 1e-6)).tolist()


SHORT, LONG = [0.9, 0.95], [0.9, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
"""A sound solution in two steps, and one that wanders through eight of which each is doubtful."""


def test_under_grpo_summed_step_rewards_prefer_the_long_chain() -> None:
    short, long = grpo_advantages([shape(SHORT, "step"), shape(LONG, "step")])
    assert long > 0 > short


@pytest.mark.parametrize("name", ["last", "delta", "min_form", "progress"])
def test_under_grpo_every_other_shape_prefers_the_sound_solution(name: ShapeName) -> None:
    short, long = grpo_advantages([shape(SHORT, name), shape(LONG, name)])
    assert short > 0 > long


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=20), st.integers(1, 20))
def test_repeating_the_last_step_pays_in_step_alone(rewards: list[float], times: int) -> None:
    longer = rewards + [rewards[-1]] * times
    for name in ("last", "delta", "min_form", "progress"):
        gained = math.fsum(shape(longer, name)) - math.fsum(shape(rewards, name))
        assert gained <= max(rewards) - soft_min(rewards) + 1e-9 if name == "min_form" else abs(gained) < 1e-9
    assert math.fsum(shape(longer, "step")) > math.fsum(shape(rewards, "step"))
