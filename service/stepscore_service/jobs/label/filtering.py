"""Which rows can be trusted: not those of unsolved problems, nor those that a judge disputes.

The consensus rule is that of Qwen's PRM data (arXiv 2501.07301, section 3.1): the labels of rollouts and the verdict of
a judge agree if both name the same first wrong step, or both name none. The judge is any scorer: a judge family that
writes a critique, or a reward model. What the judge cannot score, and what its labels leave open, is neither kept nor
called a disagreement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, Protocol

from stepscore.aggregate import first_error
from stepscore.errors import StepscoreError
from stepscore.types import Reading, Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.stats import RolloutStats

Agreement = Literal["agree_sound", "agree_error", "disagree", "unscored", "open"]
"""agree_sound: neither sees an error. agree_error: both see it at the same step. open: the labels do not
say at which step it is."""
KEPT: tuple[Agreement, ...] = ("agree_sound", "agree_error")
AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class FilteredRows:
    """kept, dropped: rows, the latter with a column that says why. totals: what was counted."""

    kept: list[Labelled]
    dropped: list[Labelled] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)


def drop_unsolved(rows: Sequence[Sequence[Labelled]], stats: Sequence[RolloutStats]) -> FilteredRows:
    """The rows of each task, dropped if rollouts were made and none was right.

    A policy that never solves a problem says nothing about its steps: every one of them would be called wrong.
    """
    kept: list[Labelled] = []
    dropped: list[Labelled] = []
    unsolved = 0
    for of_task, rollouts in zip(rows, stats, strict=True):
        if rollouts.totals["rollouts"] and not rollouts.totals["right"]:
            unsolved += 1
            dropped += [replace(row, extras={**row.extras, "unsolved": True}) for row in of_task]
        else:
            kept += of_task
    return FilteredRows(kept, dropped, {"problems_unsolved": unsolved})


@dataclass(frozen=True, slots=True)
class ConsensusFilter:
    """threshold: rewards of the judge under it are errors. error_below: labels under it are errors."""

    judge: ConsensusJudge
    threshold: float
    error_below: float = 0.0

    def apply(self, rows: Sequence[Labelled]) -> FilteredRows:
        """Raises EngineError if the judge itself fails."""
        compared = list(compare(rows, self.judge, self.threshold, self.error_below))
        kept = [_with_verdict(each) for each in compared if each.kept]
        dropped = [_with_verdict(each) for each in compared if not each.kept]
        totals = {f"consensus_{agreement}": count for agreement, count in count_agreements(compared).items()}
        return FilteredRows(kept, dropped, totals)


def _with_verdict(compared: ComparedRow) -> Labelled:
    """The row with what the judge said of it."""
    error = {} if compared.error is None else {"error": compared.error.message}
    noted = {"agreement": compared.agreement, "judge_first_error": compared.judge, **error}
    return replace(compared.labelled, extras={**compared.labelled.extras, "consensus": noted})


class ConsensusJudge(Protocol):
    """A Scoring, a JudgeScorer, or a substitute for one."""

    def score(self, solutions: Sequence[Solution]) -> Sequence[Reading | StepscoreError]: ...


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """labels, judge: the first wrong step as each sees it; None for no error, and for what is unknown."""

    labelled: Labelled
    agreement: Agreement
    labels: int | None
    judge: int | None
    error: StepscoreError | None = None

    @property
    def kept(self) -> bool:
        return self.agreement in KEPT


def compare(
    rows: Iterable[Labelled], judge: ConsensusJudge, threshold: float, error_below: float = 0.0, at_once: int = AT_ONCE
) -> Iterator[ComparedRow]:
    """Every row with what came of it, in order.

    threshold: rewards of the judge under it are errors. error_below: labels under it are errors; 0 always is.
    Rows whose labels are open are not sent to the judge. Raises EngineError if the judge itself fails.
    """
    remaining = iter(rows)
    while batch := list(islice(remaining, at_once)):
        settled = [row for row in batch if not is_open(row, error_below)]
        readings = iter(judge.score([row.solution for row in settled]) if settled else ())
        for row in batch:
            if is_open(row, error_below):
                yield ComparedRow(row, "open", None, None)
            else:
                yield _compare_row(row, row.first_error(error_below), next(readings), threshold)


def count_agreements(compared: Iterable[ComparedRow]) -> Counter[Agreement]:
    return Counter(each.agreement for each in compared)


def is_open(labelled: Labelled, error_below: float = 0.0) -> bool:
    """Whether a step without a label comes before the first error, or anywhere if there is no error."""
    return None in labelled.labels[: labelled.first_error(error_below)]


def _compare_row(row: Labelled, ours: int | None, reading: Reading | StepscoreError, threshold: float) -> ComparedRow:
    if isinstance(reading, StepscoreError):
        return ComparedRow(row, "unscored", ours, None, reading)
    theirs = first_error(reading.rewards, threshold)
    if ours != theirs:
        return ComparedRow(row, "disagree", ours, theirs)
    return ComparedRow(row, "agree_sound" if ours is None else "agree_error", ours, theirs)
