"""Voting: candidates with the same final answer form a group.

    weighted    weight of a group = sum of the scores of its members (arXiv 2408.03314; `weighted` in search-and-learn)
    majority    weight of a group = the number of its members
    none        every candidate is its own group, with its own score

A weighted vote adds scores, so it needs scores that are all >= 0, as probabilities are. Scores that may be negative
(log-ratios, differences, raw logits) go through the logistic function first, s -> 1 / (1 + exp(-s)), as the implicit
PRM's own evaluation does (arXiv 2412.01981); `Group.score` is always the untouched one.

A guessed answer (one that no statement, box, tag or mark gives) adds no weight if another candidate states its answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from stepscore.errors import InvalidInput
from stepscore.verify.answers import TRUST, FinalAnswer, ReaderName
from stepscore.verify.equality import Grouping, group

Vote = Literal["none", "weighted", "majority"]
VOTES: tuple[str, ...] = get_args(Vote)


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates that give one answer.

    answer: as its best member states it; None for a candidate without an answer, which is its own group.
    weight: what the groups are sorted by.
    score: the best score among the members.
    members: candidate indices, best score first, earliest first among equals; `members[0]` speaks for the group.
    reader: the most trusted reader that found the answer in one of the members; None without an answer.
    undecided: indices that speak for other groups, whose answers may equal this one: the comparison was stopped.
    """

    answer: str | None
    weight: float
    score: float
    members: tuple[int, ...]
    reader: ReaderName | None = None
    undecided: tuple[int, ...] = ()

    @property
    def is_guess(self) -> bool:
        return self.reader == "guess"


def vote(
    scores: Sequence[float], answers: Sequence[FinalAnswer | None], how: Vote, probabilities: bool = True
) -> list[Group]:
    """The groups, heaviest first; ties go to the better score, then to the earlier candidate.

    probabilities: whether the scores lie in [0, 1]; if not, a weighted vote squashes them. A candidate without an
    answer takes part only with how="none", or if no candidate has one. Raises InvalidInput for an unknown `how`.
    """
    if how not in VOTES:
        raise InvalidInput(f"No vote is called {how!r}; choose one of {', '.join(VOTES)}.", vote=how, known=list(VOTES))
    grouping = _grouping(answers, how)
    weights = _weights(scores, answers, how, probabilities)
    groups = [_group(members, scores, answers, weights) for members in grouping.groups]
    voted = sorted(_with_undecided(groups, grouping), key=lambda g: (-g.weight, g.is_guess, -g.score, g.members[0]))
    return voted if how == "none" else sorted(voted, key=lambda g: g.answer is None)


def _grouping(answers: Sequence[FinalAnswer | None], how: Vote) -> Grouping:
    if how == "none":
        return Grouping([[index] for index in range(len(answers))], [])
    return group([None if answer is None else answer.text for answer in answers])


def _weights(
    scores: Sequence[float], answers: Sequence[FinalAnswer | None], how: Vote, probabilities: bool
) -> list[float]:
    """What each candidate adds to its group."""
    if how == "none":
        return list(scores)
    some_stated = any(answer is not None and not answer.is_guess for answer in answers)
    silent = [some_stated and answer is not None and answer.is_guess for answer in answers]
    each = [1.0] * len(scores) if how == "majority" else [_squash(score, probabilities) for score in scores]
    return [0.0 if guess else weight for guess, weight in zip(silent, each, strict=True)]


def _group(
    members: list[int], scores: Sequence[float], answers: Sequence[FinalAnswer | None], weights: Sequence[float]
) -> Group:
    ordered = tuple(sorted(members, key=lambda member: (-scores[member], member)))
    found = [answer for member in ordered if (answer := answers[member]) is not None]
    readers = [answer.reader for answer in found]
    return Group(
        answer=found[0].text if found else None,
        weight=math.fsum(weights[member] for member in members),
        score=scores[ordered[0]],
        members=ordered,
        reader=min(readers, key=TRUST.index) if readers else None,
    )


def _with_undecided(groups: Sequence[Group], grouping: Grouping) -> list[Group]:
    firsts = {members[0]: at for at, members in enumerate(grouping.groups)}
    pairs = [(firsts[one], firsts[other]) for one, other in grouping.undecided]
    others: dict[int, list[int]] = {}
    for one, other in (*pairs, *((other, one) for one, other in pairs)):
        others.setdefault(one, []).append(groups[other].members[0])
    return [replace(each, undecided=tuple(sorted(others.get(at, ())))) for at, each in enumerate(groups)]


def _squash(score: float, probability: bool) -> float:
    if probability:
        return score
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))
