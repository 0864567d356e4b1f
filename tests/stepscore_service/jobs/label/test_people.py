"""Labels to people and back: what is chosen, the round trip, both readings of 0, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscore.errors import InvalidInput
from stepscore.types import PROBABILITY, RewardRange, Solution
from stepscore_service.jobs.data.labelled import Labelled, of_row, to_row
from stepscore_service.jobs.label.active import choose, uncertainty_of
from stepscore_service.jobs.label.humans import Counts, export_rows, import_rows
from stepscore_service.jobs.label.prm800k import Neutral, of_prm800k, to_prm800k

ENTROPY = uncertainty_of("entropy", PROBABILITY, 0.5)
NEUTRAL: tuple[Neutral, ...] = ("good", "bad", "null")


def steps_of(chosen: Any) -> dict[int, list[int]]:
    return {row: [asked.step for asked in steps] for row, steps in chosen.items()}


def test_the_least_certain_steps_are_chosen_wherever_they_stand() -> None:
    scored = [(1, [0.9, 0.5]), (2, [0.01, 0.99]), (4, [0.45, 0.6])]
    assert steps_of(choose(scored, ENTROPY, 3)) == {1: [1], 4: [0, 1]}
    assert steps_of(choose(scored, ENTROPY, 2, one_per_solution=True)) == {1: [1], 4: [0]}
    assert steps_of(choose(scored, ENTROPY, 99)) == {1: [0, 1], 2: [0, 1], 4: [0, 1]}


def test_of_equals_the_first_are_chosen() -> None:
    assert steps_of(choose([(7, [0.5, 0.5]), (9, [0.5])], ENTROPY, 2)) == {7: [0, 1]}


def test_a_margin_is_the_distance_to_the_threshold_and_entropy_needs_probabilities() -> None:
    log_ratio = RewardRange("log_ratio", -math.inf, math.inf)
    margin = uncertainty_of("margin", log_ratio, -1.0)
    assert steps_of(choose([(1, [-5.0, -0.9, 3.0])], margin, 1)) == {1: [1]}
    with pytest.raises(InvalidInput, match="margin"):
        uncertainty_of("entropy", log_ratio, 0.0)
    assert [ENTROPY(p) for p in (0.0, 0.5, 1.0)] == [0.0, 1.0, 0.0]


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), max_size=8),
    st.integers(1, 30),
    st.booleans(),
)
def test_no_step_that_was_left_out_is_less_certain(rewards: list[list[float]], budget: int, one: bool) -> None:
    chosen = choose(enumerate(rewards), ENTROPY, budget, one_per_solution=one)
    taken = {(row, asked.step): asked.uncertainty for row, steps in chosen.items() for asked in steps}
    pool = [max(map(ENTROPY, each)) for each in rewards] if one else [ENTROPY(p) for each in rewards for p in each]
    assert sorted(taken.values(), reverse=True) == sorted(pool, reverse=True)[:budget]


TEXTS = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() != "")
HARD = st.sampled_from([None, 0.0, 1.0])


@st.composite
def labelled(draw: st.DrawFn) -> Labelled:
    steps = draw(st.lists(TEXTS, min_size=1, max_size=5))
    labels = draw(st.tuples(*[HARD] * len(steps)))
    extras = draw(st.dictionaries(st.sampled_from(["id", "source"]), st.integers() | TEXTS))
    return Labelled(Solution(draw(TEXTS), tuple(steps)), labels, draw(st.none() | st.booleans()), extras)


@given(labelled(), st.sampled_from(NEUTRAL))
def test_out_and_in_again_is_the_same(row: Labelled, neutral: Neutral) -> None:
    through_json = json.loads(json.dumps(to_prm800k(row)))
    assert list(of_prm800k(through_json, neutral)) == [row]


def test_what_is_asked_for_has_no_rating_and_the_rest_keeps_its_own() -> None:
    row = Labelled(Solution("p", ("a", "b", "c")), (1.0, 0.0, 0.25))
    out = to_prm800k(row, ask=[0])
    ratings = [step["completions"][0]["rating"] for step in out["label"]["steps"]]
    assert ratings == [None, -1, None]
    assert out["stepscore"]["ask"] == [0]
    assert [step["chosen_completion"] for step in out["label"]["steps"]] == [0, 0, 0]


def rated_row(*ratings: int | None) -> dict[str, Any]:
    steps = [{"completions": [{"text": f"s{i}", "rating": r}], "chosen_completion": 0} for i, r in enumerate(ratings)]
    return {"labeler": "anna", "question": {"problem": "p"}, "label": {"steps": steps}}


@pytest.mark.parametrize(("neutral", "middle"), [("good", 1.0), ("bad", 0.0), ("null", None)])
def test_the_rating_0_is_read_as_asked(neutral: Neutral, middle: float | None) -> None:
    (found,) = of_prm800k(rated_row(1, 0, -1, None), neutral)
    assert found.labels == (1.0, middle, 0.0, None)
    assert found.extras == {"labeler": "anna"}


def test_published_rows_give_the_trajectory_and_its_alternatives() -> None:
    row = rated_row(1, 1)
    row["label"]["steps"][1] |= {
        "completions": [{"text": "wrong", "rating": -1}, {"text": "fine", "rating": 0}],
        "chosen_completion": None,
    }
    counts = Counts()
    rows = list(import_rows([row], "bad", counts))
    assert [(each["completions"], each["labels"]) for each in rows] == [
        (["s0", "wrong"], [None, False]),
        (["s0", "fine"], [None, False]),
        (["s0"], [True]),
    ]
    assert str(counts) == "1 rows read, 3 solutions written; labels: 1 right, 2 wrong, 0 soft, 2 none"


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"question": {"problem": "p"}, "label": {"steps": [{"completions": [{"text": "a", "rating": 2}]}]}},
        {"question": {"problem": "p"}, "label": {"steps": None}},
        {"question": "p", "label": {"steps": []}},
    ],
)
@pytest.mark.parametrize("neutral", NEUTRAL)
def test_what_is_no_row_of_the_format_is_refused(row: dict[str, Any], neutral: Neutral) -> None:
    with pytest.raises(InvalidInput):
        list(import_rows([row], neutral, Counts()))


@pytest.mark.parametrize("ask", [[{"step": 1}], [{"step": -1}], [{}], 3, [None]])
def test_a_step_that_is_not_there_cannot_be_asked_for(ask: Any) -> None:
    row = {**to_row(Labelled(Solution("p", ("a",)), (None,))), "ask": ask}
    with pytest.raises(InvalidInput, match="ask"):
        list(export_rows([row], Counts()))


def test_a_row_that_asks_for_nothing_itself_asks_for_what_has_no_label() -> None:
    row = to_row(Labelled(Solution("p", ("a", "b")), (1.0, None)))
    (out,) = export_rows([row], Counts())
    assert out["stepscore"]["ask"] == [1]
    (back,) = import_rows([out], "null", Counts())
    assert of_row(back).labels == (1.0, None)


def test_soft_labels_that_nobody_is_asked_for_are_counted_as_left_out() -> None:
    soft = to_row(Labelled(Solution("p", ("a", "b", "c")), (0.25, 0.5, 1.0)))
    counts = Counts()
    plain = to_row(Labelled(Solution("p", ("a",)), (1.0,)))
    first, second, _ = export_rows([soft, {**soft, "ask": [{"step": 0}]}, plain], counts)
    assert (counts.soft_steps, counts.soft_rows) == (3, 2)
    assert [row["stepscore"]["ask"] for row in (first, second)] == [[], [0]]
