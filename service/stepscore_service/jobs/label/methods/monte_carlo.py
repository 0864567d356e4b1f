"""Monte Carlo labels: k rollouts from every prefix (Math-Shepherd, arXiv:2312.08935).

soft: the share of right rollouts; hard: whether any is right. The last step is labelled by the solution's own answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.label.methods.base import (
    Labels,
    Options,
    columns,
    described,
    hard,
    of_ending,
    outcome_of,
    own_ending,
    sample,
)
from stepscore_service.jobs.label.rollouts import Ask, Counts, Ending, counted
from stepscore_service.jobs.label.task import Attempt, Task
from stepscore_service.jobs.label.work import Work, together
from stepscore_service.jobs.labelled import Labelled


@dataclass(frozen=True, slots=True)
class MonteCarlo:
    """Every step by rollouts; with `stop_at_zero` one step at a time, up to the first that none completes."""

    options: Options
    verifier: Verifier
    name = "monte-carlo"

    def label(self, task: Task) -> Work[Labels]:
        attempts = yield from sample(task, self.options)
        one = partial(self._one, task)
        return Labels(tuple((yield from together([one(place, attempt) for place, attempt in enumerate(attempts)]))))

    def _one(self, task: Task, place: int, attempt: Attempt) -> Work[Labelled]:
        ending = own_ending(task, attempt, self.verifier)
        count = self._counts_to_zero if self.options.stop_at_zero else self._all_counts
        counts = yield from count(task, attempt)
        return self._row(task, place, attempt, ending, counts)

    def _all_counts(self, task: Task, attempt: Attempt) -> Work[list[Counts]]:
        rolled = yield [self._ask(task, attempt, steps) for steps in range(1, len(attempt.steps))]
        return [counted(rollouts) for rollouts in rolled]

    def _counts_to_zero(self, task: Task, attempt: Attempt) -> Work[list[Counts]]:
        counts = []
        for steps in range(1, len(attempt.steps)):
            (rollouts,) = yield [self._ask(task, attempt, steps)]
            counts.append(counted(rollouts))
            if counts[-1].value == 0.0:
                break
        return counts

    def _ask(self, task: Task, attempt: Attempt, steps: int) -> Ask:
        return Ask(task.problem, task.truth, attempt.prefix(steps), self.options.k)

    def _row(self, task: Task, place: int, attempt: Attempt, ending: Ending, counts: list[Counts]) -> Labelled:
        missing = len(attempt.steps) - 1 - len(counts)
        soft = [*(each.value for each in counts), *[None] * missing, None if missing else of_ending(ending)]
        hards = [hard(value) for value in soft]
        extras = {
            **described(task, place, self.name),
            "soft": soft,
            "hard": hards,
            "counts": columns([*counts, *[None] * (missing + 1)]),
            "ending": ending,
        }
        labels = tuple(hards if self.options.kind == "hard" else soft)
        return Labelled(task.solution(attempt), labels, outcome_of(ending), extras)
