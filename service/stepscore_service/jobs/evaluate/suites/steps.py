"""Labelled steps: how well rewards keep sound from wrong steps apart, and whether they can be trusted as numbers.

Rows are TRL's (`prompt`, `completions`, `labels`), as `stepscore label` writes and `stepscore train` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from stepscore.types import Solution, goodness
from stepscore_service.jobs.data.labelled import of_row
from stepscore_service.jobs.evaluate.suites.base import (
    Measured,
    Miss,
    MissedSolution,
    RewardFacts,
    ids,
    numbers_of,
    rewards_of,
    usable,
)
from stepscore_service.jobs.evaluate.suites.probes import place_of, with_probes
from stepscore_service.jobs.evaluate.suites.registry import SuiteOptions
from stepscore_service.jobs.evaluate.suites.step_numbers import Steps
from stepscore_service.jobs.runs.rewards import Scored, ScoredOrError
from stepscore_service.jobs.runs.source import JsonRow


def build(options: SuiteOptions) -> LabelledSteps:
    return LabelledSteps(options.probes, options.with_bias)


@dataclass(frozen=True, slots=True)
class LabelledSteps:
    """probes: also score each solution with an empty step added. with_bias: fit a bias beside the temperature."""

    probes: bool = True
    with_bias: bool = False
    kind: ClassVar[str] = "steps"
    shape: ClassVar[str] = 'an object like {"prompt": "…", "completions": ["…", "…"], "labels": [true, false]}'

    def ask(self, row: JsonRow) -> list[Solution]:
        solution = of_row(row).solution
        return [solution, *with_probes(solution).values()] if self.probes else [solution]

    def keep(self, row: JsonRow, answers: Sequence[ScoredOrError]) -> JsonRow:
        labelled = of_row(row)
        solution = labelled.solution
        tokens = answers[0].tokens if isinstance(answers[0], Scored) else None
        numbers = [numbers_of(answer) for answer in answers[1:]]
        probes = dict(zip(with_probes(solution), numbers, strict=True)) if self.probes else {}
        return {
            **ids(row),
            "labels": list(labelled.labels),
            "outcome": labelled.outcome,
            **rewards_of(answers[0]),
            "tokens": tokens,
            "characters": sum(map(len, solution.steps)),
            **({"probes": probes, "place": place_of(solution)} if self.probes else {}),
        }

    def measure(self, files: Mapping[str, Iterable[JsonRow]], model: RewardFacts) -> Measured:
        found = {}
        for name, rows in files.items():
            steps = Steps(model.range, model.aggregate, self.with_bias)
            for row in usable(rows):
                steps.add(row)
            found[name] = steps.measure()
        return found

    def miss(self, row: JsonRow, measured: Measured, model: RewardFacts) -> Miss | None:
        """The solution with the labelled step whose reward is farthest on the wrong side."""
        if row["rewards"] is None:
            return None
        shares = [goodness(reward, model.range.kind) for reward in row["rewards"]]
        off = {step: abs(shares[step] - label) for step, label in enumerate(row["labels"]) if label is not None}
        missed = {step: distance for step, distance in off.items() if distance > 0.5}
        if not missed:
            return None
        worst = max(missed, key=lambda step: missed[step])
        marks = {step: f"labelled {row['labels'][step]:g}" for step in missed}
        what = f"step {worst} is labelled {row['labels'][worst]:g} and has the reward {row['rewards'][worst]:.4f}"
        return Miss(missed[worst], what, (MissedSolution(0, row["rewards"], marks),))

    def solutions(self, row: JsonRow) -> Sequence[Solution | None]:
        return [of_row(row).solution]
