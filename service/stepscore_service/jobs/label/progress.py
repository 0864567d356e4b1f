"""How far a labelling run is: problems (whole shards) and rollouts (as they come)."""

from __future__ import annotations

from stepscore_service.jobs.label.shard import FinishedShard
from stepscore_service.jobs.runs.progress import ProgressDisplay


class LabelProgress:
    """Counts into a display of problems."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display, self._rollouts = display, 0

    def rolled(self, rollouts: int) -> None:
        self._rollouts += rollouts
        self._display.advance(0, f"{self._rollouts} rollouts")

    def finished(self, shard: FinishedShard) -> None:
        self._display.advance(shard.totals["problems"])
