"""Voting: the weights of groups, and who wins a tie."""

from __future__ import annotations

import math
from typing import Any

import pytest

from stepscore.errors import InvalidInput
from stepscore.verify.answers import FinalAnswer, ReaderName
from stepscore.verify.vote import vote


def answers_of(*texts: str | None, reader: ReaderName = "statement") -> list[FinalAnswer | None]:
    return [None if text is None else FinalAnswer(text, reader) for text in texts]


ANSWERS = answers_of("18", "20", "18.0", None, "20")
SCORES = [0.3, 0.9, 0.5, 0.99, 0.2]


def test_a_weighted_vote_adds_the_scores_of_a_group() -> None:
    groups = vote(SCORES, ANSWERS, "weighted")
    assert [(group.answer, group.members) for group in groups] == [("20", (1, 4)), ("18.0", (2, 0)), (None, (3,))]
    assert [group.weight for group in groups] == pytest.approx([1.1, 0.8, 0.99])
    assert groups[0].score == 0.9


def test_a_majority_vote_counts_and_breaks_ties_by_score_then_by_index() -> None:
    assert [group.members[0] for group in vote(SCORES, ANSWERS, "majority")] == [1, 2, 3]
    assert [group.members for group in vote([0.5] * 4, answers_of("1", "2", "2", "1"), "majority")] == [(0, 3), (1, 2)]


def test_without_a_vote_every_candidate_stands_alone() -> None:
    assert [group.members for group in vote(SCORES, ANSWERS, "none")] == [(3,), (1,), (2,), (0,), (4,)]


def test_scores_that_are_no_probabilities_are_squashed_before_they_are_added() -> None:
    groups = vote([-800.0, 2.0, -1.0], answers_of("1", "2", "1"), "weighted", probabilities=False)
    assert [group.answer for group in groups] == ["2", "1"]
    assert groups[0].weight == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert groups[1].weight == pytest.approx(1 / (1 + math.exp(1.0)))
    assert groups[1].score == -1.0


def test_an_unknown_vote_is_an_error() -> None:
    unknown: Any = "borda"
    with pytest.raises(InvalidInput, match="weighted"):
        vote([1.0], answers_of("1"), unknown)


def test_guesses_do_not_win_by_number_over_a_stated_answer() -> None:
    answers = answers_of("7", "7", "7", reader="guess") + answers_of("14")
    for how in ("majority", "weighted"):
        groups = vote([0.9, 0.9, 0.9, 0.1], answers, how)
        assert [(group.answer, group.reader, group.is_guess) for group in groups] == [
            ("14", "statement", False),
            ("7", "guess", True),
        ]
        assert groups[1].weight == 0


def test_guesses_count_if_no_candidate_states_an_answer() -> None:
    groups = vote([0.1, 0.2, 0.9], answers_of("7", "7", "8", reader="guess"), "majority")
    assert [(group.answer, group.weight) for group in groups] == [("7", 2.0), ("8", 1.0)]


def test_a_group_carries_its_most_trusted_reader() -> None:
    groups = vote([0.9, 0.1], answers_of("7", reader="guess") + answers_of("7", reader="box"), "weighted")
    assert [(group.reader, group.members) for group in groups] == [("box", (0, 1))]


def test_groups_whose_equality_could_not_be_decided_name_each_other() -> None:
    groups = vote([0.9, 0.5, 0.4], answers_of("9^{9^{9^9}}", "1", "2"), "weighted")
    assert [group.undecided for group in groups] == [(1, 2), (0,), (0,)]
