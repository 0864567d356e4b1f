"""Which rows can be trusted: not those of unsolved problems, nor those that a judge disputes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.consensus import ComparedRow, ConsensusJudge, compare, counted
from stepscore_service.jobs.label.stats import RolloutStats


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
        totals = {f"consensus_{agreement}": count for agreement, count in counted(compared).items()}
        return FilteredRows(kept, dropped, totals)


def _with_verdict(compared: ComparedRow) -> Labelled:
    """The row with what the judge said of it."""
    error = {} if compared.error is None else {"error": compared.error.message}
    noted = {"agreement": compared.agreement, "judge_first_error": compared.judge, **error}
    return replace(compared.labelled, extras={**compared.labelled.extras, "consensus": noted})
