"""Keeping the rows that can be trusted, and the others apart: those of unsolved problems, those a judge disputes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.consensus import Compared, Judge, compare, counted
from stepscore_service.jobs.label.stats import RolloutStats


@dataclass(frozen=True, slots=True)
class Sifted:
    """kept, dropped: rows with a column that says why. totals: what was counted."""

    kept: list[Labelled]
    dropped: list[Labelled]
    totals: dict[str, int]


def sifted(rows: Sequence[Sequence[Labelled]], stats: Sequence[RolloutStats], *, drop_unsolved: bool) -> Sifted:
    """The rows of each task; with `drop_unsolved` apart where rollouts were made and none was right.

    A policy that never solves a problem says nothing of its steps: every one of them would be called wrong.
    """
    kept: list[Labelled] = []
    dropped: list[Labelled] = []
    unsolved = 0
    for some, counted_of in zip(rows, stats, strict=True):
        if drop_unsolved and counted_of.totals["rollouts"] and not counted_of.totals["right"]:
            unsolved += 1
            dropped += [replace(row, extras={**row.extras, "unsolved": True}) for row in some]
        else:
            kept += some
    return Sifted(kept, dropped, {"problems_unsolved": unsolved} if drop_unsolved else {})


@dataclass(frozen=True, slots=True)
class Consensus:
    """threshold: rewards of the judge under it are errors. error_below: labels under it are errors."""

    judge: Judge
    threshold: float
    error_below: float = 0.0

    def sift(self, rows: Sequence[Labelled]) -> Sifted:
        """Raises EngineError where the judge itself fails."""
        compared = list(compare(rows, self.judge, self.threshold, self.error_below))
        kept = [_noted(each) for each in compared if each.kept]
        dropped = [_noted(each) for each in compared if not each.kept]
        totals = {f"consensus_{agreement}": count for agreement, count in counted(compared).items()}
        return Sifted(kept, dropped, totals)


def _noted(compared: Compared) -> Labelled:
    """The row with what the judge said of it."""
    error = {} if compared.error is None else {"error": compared.error.message}
    noted = {"agreement": compared.agreement, "judge_first_error": compared.judge, **error}
    return replace(compared.labelled, extras={**compared.labelled.extras, "consensus": noted})
