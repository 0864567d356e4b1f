"""Keeping the rows on which a judge agrees, and the others apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stepscore_service.jobs.label.consensus import Compared, Judge, compare, counted
from stepscore_service.jobs.labelled import Labelled


@dataclass(frozen=True, slots=True)
class Sifted:
    """kept, dropped: rows with the column `consensus`. totals: how many rows came to each agreement."""

    kept: list[Labelled]
    dropped: list[Labelled]
    totals: dict[str, int]


@dataclass(frozen=True, slots=True)
class Consensus:
    """threshold: rewards of the judge under it are errors."""

    judge: Judge
    threshold: float

    def sift(self, rows: Sequence[Labelled]) -> Sifted:
        """Raises EngineError where the judge itself fails."""
        compared = list(compare(rows, self.judge, self.threshold))
        kept = [_noted(each) for each in compared if each.kept]
        dropped = [_noted(each) for each in compared if not each.kept]
        totals = {f"consensus_{agreement}": count for agreement, count in counted(compared).items()}
        return Sifted(kept, dropped, totals)


def _noted(compared: Compared) -> Labelled:
    """The row with what the judge said of it."""
    error = {} if compared.error is None else {"error": compared.error.message}
    noted = {"agreement": compared.agreement, "judge_first_error": compared.judge, **error}
    return replace(compared.labelled, extras={**compared.labelled.extras, "consensus": noted})
