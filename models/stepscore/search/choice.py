"""Choosing the winner among the candidates of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from stepscore.aggregate import aggregate
from stepscore.search.tree import SearchNode
from stepscore.types import RewardRange
from stepscore.verify.answers import final_answer, read_answer
from stepscore.verify.vote import Group, vote

ChoiceRule = Literal["first", "score", "weighted", "majority"]
CHOICE_RULES: tuple[str, ...] = get_args(ChoiceRule)
BY_SCORE = frozenset({"score", "weighted"})


@dataclass(frozen=True, slots=True)
class SearchCandidate:
    """A solution that a search ended with. score: None if it was not rated."""

    node: SearchNode
    text: str
    score: float | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """chosen: index of the winner, None without candidates. groups: of equal answers, for a vote."""

    chosen: int | None
    groups: tuple[Group, ...] = ()


def candidates_of(nodes: Sequence[SearchNode], name: str, range_: RewardRange) -> list[SearchCandidate]:
    """name: the aggregate that makes the final score."""
    return [_candidate(node, name, range_) for node in nodes]


def choose(candidates: Sequence[SearchCandidate], rule: str, name: str, range_: RewardRange) -> SearchChoice:
    """The winner by that rule, among the finished solutions; if there is none, among all.

    A solution without a score can win only by a rule that needs none.
    """
    finished = [index for index, each in enumerate(candidates) if each.node.status == "finished"]
    usable = finished or list(range(len(candidates)))
    if rule in BY_SCORE:
        usable = [index for index in usable if candidates[index].score is not None]
    if not usable:
        return SearchChoice(None)
    if rule == "first":
        return SearchChoice(usable[0])
    scores = [_score(candidates[index]) for index in usable]
    if rule == "score":
        return SearchChoice(usable[max(range(len(usable)), key=scores.__getitem__)])
    groups = _groups([candidates[index] for index in usable], scores, rule, name, range_)
    return SearchChoice(usable[groups[0].members[0]], tuple(groups))


def answer_weights(nodes: Sequence[SearchNode], name: str, range_: RewardRange) -> list[float]:
    """The weights of a weighted vote among rated nodes, heaviest first."""
    candidates = candidates_of(nodes, name, range_)
    stated = [each for each in candidates if each.answer is not None]
    groups = _groups(stated, [_score(each) for each in stated], "weighted", name, range_)
    return [group.weight for group in groups]


def _candidate(node: SearchNode, name: str, range_: RewardRange) -> SearchCandidate:
    score = None if node.rewards is None else aggregate(node.rewards, name, range_)
    return SearchCandidate(node, node.prefix, score, final_answer(node.prefix))


def _score(candidate: SearchCandidate) -> float:
    """0 for a solution that was not rated, which only rules that use no score let in."""
    return 0.0 if candidate.score is None else candidate.score


def _groups(
    candidates: Sequence[SearchCandidate], scores: Sequence[float], rule: str, name: str, range_: RewardRange
) -> list[Group]:
    kind: Literal["weighted", "majority"] = "majority" if rule == "majority" else "weighted"
    probabilities = range_.kind == "probability" and name != "sum"
    return vote(scores, [read_answer(each.node.prefix) for each in candidates], kind, probabilities)
