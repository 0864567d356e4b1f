"""Voting: candidates with the same final answer stand together.

    weighted    weight of a group = sum of the scores of its members (arXiv 2408.03314; `weighted` in search-and-learn)
    majority    weight of a group = the number of its members
    none        every candidate stands alone with its own score

A weighted vote adds scores, so it needs scores that are all >= 0, as probabilities are. Scores that may be negative
(log-ratios, differences, raw logits) go through the logistic function first, s -> 1 / (1 + exp(-s)), as the implicit
PRM's own evaluation does (arXiv 2412.01981); `Group.score` is always the untouched one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from stepscore.errors import InvalidInput
from stepscore.verify.answers import group_answers

Vote = Literal["none", "weighted", "majority"]
VOTES: tuple[str, ...] = get_args(Vote)


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates that give one answer.

    answer: as its best member states it; None for a candidate without an answer, which stands alone.
    weight: what the groups are sorted by.
    score: the best score among the members.
    members: candidate indices, best score first, earliest first among equals; `members[0]` speaks for the group.
    """

    answer: str | None
    weight: float
    score: float
    members: tuple[int, ...]


def vote(scores: Sequence[float], answers: Sequence[str | None], how: Vote, probabilities: bool = True) -> list[Group]:
    """The groups, heaviest first; ties go to the better score, then to the earlier candidate.

    probabilities: whether the scores lie in [0, 1]; where not, a weighted vote squashes them. A candidate without an
    answer takes part only with how="none", or where no candidate has one. Raises InvalidInput for an unknown `how`.
    """
    if how not in VOTES:
        raise InvalidInput(f"No vote is called {how!r}; choose one of {', '.join(VOTES)}.", vote=how, known=list(VOTES))
    groups = [_group(members, scores, answers, how, probabilities) for members in _members(answers, how)]
    voteless = how != "none"
    return sorted(groups, key=lambda g: (voteless and g.answer is None, -g.weight, -g.score, g.members[0]))


def _members(answers: Sequence[str | None], how: Vote) -> list[list[int]]:
    return [[index] for index in range(len(answers))] if how == "none" else group_answers(answers)


def _group(
    members: list[int], scores: Sequence[float], answers: Sequence[str | None], how: Vote, probabilities: bool
) -> Group:
    ordered = tuple(sorted(members, key=lambda member: (-scores[member], member)))
    best = scores[ordered[0]]
    summed = math.fsum(_squashed(scores[member], probabilities) for member in members)
    weight = {"none": best, "majority": float(len(members)), "weighted": summed}[how]
    return Group(answers[ordered[0]], weight, best, ordered)


def _squashed(score: float, probability: bool) -> float:
    if probability:
        return score
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))
