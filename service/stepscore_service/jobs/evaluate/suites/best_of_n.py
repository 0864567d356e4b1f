"""Best-of-n: what choosing by the model gains, for every aggregate, over votes and an outcome model.

Rows as `stepscore rerank` takes them, or as it writes them; the latter ask the model nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from stepscore.aggregate import aggregate
from stepscore.errors import InvalidInput, in_places, map_ok
from stepscore.types import PROBABILITY, RewardRange, Solution, SplitSolution
from stepscore.verify.answers import read_answer
from stepscore.verify.equality import group_answers
from stepscore_service.jobs.data.items import correct_of, split_candidates, text_of
from stepscore_service.jobs.data.rows import truth_value
from stepscore_service.jobs.evaluate.suites.base import (
    Measured,
    Miss,
    MissedSolution,
    RewardFacts,
    ids,
    numbers_of,
    usable,
)
from stepscore_service.jobs.evaluate.suites.choosing import Chooser
from stepscore_service.jobs.evaluate.suites.registry import SuiteOptions
from stepscore_service.jobs.metrics.best_of_n import sizes
from stepscore_service.jobs.runs.rewards import Rewards, Scored, ScoredOrError
from stepscore_service.jobs.runs.run import is_result
from stepscore_service.jobs.runs.source import JsonRow

ORM_COLUMN = "orm"


def build(options: SuiteOptions) -> BestOfN:
    return BestOfN(options.split, options.outcome)


def is_reranked(row: JsonRow) -> bool:
    """Whether `stepscore rerank` wrote this row: its rewards are there, or the error that it has instead."""
    return "results" in row or is_result(row)


@dataclass(frozen=True, slots=True)
class BestOfN:
    """split: how a candidate given as text becomes steps. outcome: opens a model that scores every candidate too."""

    split: str = "auto"
    outcome: Callable[[], Rewards] | None = None
    kind: ClassVar[str] = "best_of_n"
    shape: ClassVar[str] = (
        'an object like {"problem": "…", "candidates": ["…", "…"], "correct": [true, false]}, or a row that '
        "`stepscore rerank` wrote"
    )

    def ask(self, row: JsonRow) -> list[Solution]:
        if is_reranked(row):
            _check_reranked(row)
            return []
        items = split_candidates(row, self.split)
        if "correct" not in row and not isinstance(row.get("answer"), str | int | float):
            raise InvalidInput('give "correct" or "answer", or nothing can be measured', field="correct")
        return [item.solution for item in items if isinstance(item, SplitSolution)]

    def keep(self, row: JsonRow, answers: Sequence[ScoredOrError]) -> JsonRow:
        """groups: which candidates give the same final answer (numbers from 0), None if one gives none."""
        if is_reranked(row):
            return _of_reranked(row)
        items, texts = split_candidates(row, self.split), [text_of(each) for each in row["candidates"]]
        finals = [read_answer(each) for each in texts]
        return {
            **ids(row),
            **correct_of(row, texts),
            **_given_row(row),
            "groups": groups_of([final.text if final else None for final in finals]),
            "rewards": [numbers_of(each) for each in in_places(items, answers)],
            **self._outcome(items),
        }

    def measure(self, files: Mapping[str, Iterable[JsonRow]], model: RewardFacts) -> Measured:
        return {name: _measure(rows, model.range, model.aggregate) for name, rows in files.items()}

    def miss(self, row: JsonRow, measured: Measured, model: RewardFacts) -> Miss | None:
        """The problem whose chosen candidate is wrong and has the highest score above the best right one."""
        name = row.get("aggregate", model.aggregate)
        scores = [None if each is None else aggregate(each, name, model.range) for each in row["rewards"]]
        by_right: dict[bool, list[int]] = {True: [], False: []}
        for place, right in enumerate(row["correct"]):
            if scores[place] is not None:
                by_right[right].append(place)
        if not by_right[True] or not by_right[False]:
            return None
        right, wrong = (max(by_right[each], key=lambda place: scores[place] or 0.0) for each in (True, False))
        lead = (scores[wrong] or 0.0) - (scores[right] or 0.0)
        if lead < 0:
            return None
        titles = (wrong, "wrong, chosen"), (right, "the best right one")
        shown = [
            MissedSolution(place, row["rewards"][place], {}, f"candidate {place} ({title}): {name} {scores[place]:.4f}")
            for place, title in titles
        ]
        return Miss(lead, f"a wrong candidate has the highest {name}, {lead:.4f} above every right one", tuple(shown))

    def solutions(self, row: JsonRow) -> Sequence[Solution | None]:
        if "candidates" not in row:
            return []
        return [
            each.solution if isinstance(each, SplitSolution) else None for each in split_candidates(row, self.split)
        ]

    def _outcome(self, items: Sequence[SplitSolution | InvalidInput]) -> JsonRow:
        """The outcome model's score of each candidate; None if it gives none."""
        if self.outcome is None:
            return {}
        outcome = self.outcome()
        answers = map_ok(items, lambda split: outcome.score([each.solution for each in split]))
        return {ORM_COLUMN: [_score(outcome, each) for each in answers]}


def groups_of(finals: Sequence[str | None]) -> list[int | None]:
    places: list[int | None] = [None] * len(finals)
    for number, members in enumerate(group_answers(finals)):
        for member in members:
            places[member] = None if finals[member] is None else number
    return places


def _places(groups: Sequence[JsonRow], candidates: int) -> list[int | None]:
    """The number of each candidate's group, None for a candidate without an answer; groups: as /rerank writes them."""
    places: list[int | None] = [None] * candidates
    for number, group in enumerate(groups):
        for member in group["members"] if group["answer"] is not None else ():
            places[member] = number
    return places


def _measure(rows: Iterable[JsonRow], range_: RewardRange, aggregate_: str) -> Measured:
    """Curves reach to the number of candidates that every problem has."""
    fewest = min((len(row["correct"]) for row in usable(rows)), default=0)
    if not fewest:
        return {"problems": 0}
    chooser = Chooser(range_, sizes(fewest))
    for row in usable(rows):
        chooser.add(row)
        aggregate_ = row.get("aggregate", aggregate_)
    return {"aggregate": aggregate_, **chooser.measure()}


def _given_row(row: JsonRow) -> JsonRow:
    correct = {"correct": list(map(bool, row["correct"]))} if "correct" in row else {}
    return correct | ({ORM_COLUMN: row[ORM_COLUMN]} if ORM_COLUMN in row else {})


def _score(orm: Rewards, answer: ScoredOrError) -> float | None:
    if not isinstance(answer, Scored):
        return None
    return aggregate(answer.reading.rewards, orm.info.aggregate, orm.info.reward_range)


def _check_reranked(row: JsonRow) -> None:
    if isinstance(error := row.get("error"), dict):
        raise InvalidInput(f"`stepscore rerank` could not score it: {error.get('code')}: {error.get('message')}")
    results, correct = row.get("results"), row.get("correct")
    if not isinstance(results, list) or not all(_is_result(each) for each in results):
        raise InvalidInput('"results" is not a list of {"index", "rewards"}', field="results")
    truths = list(map(truth_value, correct)) if isinstance(correct, list) else []
    if len(truths) != len(results) or not all(isinstance(each, bool) for each in truths):
        raise InvalidInput(f'"correct" is not a list of {len(results)} true/false', field="correct")
    if sorted(each["index"] for each in results) != list(range(len(results))):
        raise InvalidInput('"results" does not name each candidate once', field="results")


def _is_result(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("index"), int) and isinstance(each.get("rewards"), list)


def _of_reranked(row: JsonRow) -> JsonRow:
    by_place = sorted(row["results"], key=lambda result: result["index"])
    rewards = [result["rewards"] for result in by_place]
    finals = row.get("answers") or [None] * len(rewards)  # the column of a file without `groups`
    chosen = {"aggregate": row["aggregate"]} if "aggregate" in row else {}
    return {
        **ids(row),
        **_given_row(row),
        "groups": _places(row["groups"], len(rewards)) if "groups" in row else groups_of(finals),
        "rewards": rewards,
        **chosen,
    }


def range_of(rows: Iterable[JsonRow]) -> RewardRange:
    """For rewards that are there already: probabilities, if all of them could be."""
    numbers = (number for row in usable(rows) for rewards in row["rewards"] for number in rewards or ())
    return PROBABILITY if all(0.0 <= number <= 1.0 for number in numbers) else RewardRange("real", -1e308, 1e308)
