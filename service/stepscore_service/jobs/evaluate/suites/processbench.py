"""ProcessBench: find the first wrong step of a solution (arXiv 2412.06559). Rows as in Qwen/ProcessBench."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.processbench import ProcessBenchRow
from stepscore_service.jobs.data.rows import read_as
from stepscore_service.jobs.evaluate.suites.base import (
    Measured,
    Miss,
    MissedSolution,
    RewardFacts,
    ids,
    rewards_of,
    texts,
    usable,
)
from stepscore_service.jobs.evaluate.suites.registry import SuiteOptions
from stepscore_service.jobs.metrics.first_error import (
    NO_ERROR,
    Windows,
    accuracies,
    best_threshold,
    curve,
    f1_with_interval,
    windows,
)
from stepscore_service.jobs.runs.rewards import ScoredOrError
from stepscore_service.jobs.runs.source import JsonRow

CURVE_POINTS = 200


def build(options: SuiteOptions) -> ProcessBench:
    return ProcessBench(options.threshold, options.tune_on)


@dataclass(frozen=True, slots=True)
class ProcessBench:
    """threshold: a step under it is an error; None for the model's own.

    tune_on: instead, the file on which the best threshold is looked for.
    """

    threshold: float | None = None
    tune_on: str = ""
    kind: ClassVar[str] = "processbench"
    shape: ClassVar[str] = 'an object like {"problem": "…", "steps": ["…", "…"], "label": 1} (-1: no error)'

    def ask(self, row: JsonRow) -> list[Solution]:
        found = read_as(ProcessBenchRow, row)
        steps = texts(found.steps, "steps")
        if not NO_ERROR <= found.label < len(steps):
            raise InvalidInput(f"label {found.label} names no step of {len(steps)} and is not -1", field="label")
        return [Solution(found.problem, steps)]

    def keep(self, row: JsonRow, answers: Sequence[ScoredOrError]) -> JsonRow:
        return {**ids(row), "label": int(row["label"]), **rewards_of(answers[0])}

    def measure(self, files: Mapping[str, Iterable[JsonRow]], model: RewardFacts) -> Measured:
        """F1 in [0, 1] by file, and the unweighted mean over files, which is the published headline."""
        found = {name: _read(rows) for name, rows in files.items()}
        best = best_threshold(found[self.tune_on][0]) if self.tune_on else None
        own = model.threshold if self.threshold is None else self.threshold
        threshold = own if best is None else best
        splits = {name: _split(each, why, threshold) for name, (each, why) in found.items()}
        f1s = [split["f1"]["value"] for split in splits.values()]
        mean = None if None in f1s else sum(f1s) / len(f1s)
        return {"threshold": threshold, "tuned_on": self.tune_on or None, "mean_f1": mean, "splits": splits}

    def miss(self, row: JsonRow, measured: Measured, model: RewardFacts) -> Miss | None:
        """By how much a reward is on the wrong side: of the labelled step, or of a step that was called an error."""
        rewards, label, threshold = row["rewards"], row["label"], measured["threshold"]
        if rewards is None:
            return None
        found = next((step for step, reward in enumerate(rewards) if reward < threshold), NO_ERROR)
        if found == label:
            return None
        sound = rewards if label == NO_ERROR else rewards[:label]
        off = [threshold - reward for reward in sound] + [rewards[label] - threshold] * (label != NO_ERROR)
        marks = {step: text for step, text in ((label, "labelled"), (found, "found")) if step != NO_ERROR}
        what = f"first error: {_step(label)} is labelled, {_step(found)} was found"
        return Miss(max(off), what, (MissedSolution(0, rewards, marks),))

    def solutions(self, row: JsonRow) -> Sequence[Solution | None]:
        return self.ask(row)


def _step(label: int) -> str:
    return "none" if label == NO_ERROR else f"step {label}"


def _read(rows: Iterable[JsonRow]) -> tuple[Windows, Counter[str]]:
    """The windows, and how many solutions could not be scored for which reason."""
    why: Counter[str] = Counter()
    solutions: list[tuple[Sequence[float] | None, int]] = []
    for row in usable(rows):
        why.update([row["unscorable"]["code"]] if row["rewards"] is None else [])
        solutions.append((row["rewards"], row["label"]))
    return windows(solutions), why


def _split(found: Windows, why: Counter[str], threshold: float) -> Measured:
    accuracy = accuracies(found, threshold)
    best = best_threshold(found)
    return {
        "solutions": len(found),
        "with_error": int(found.wrong.sum()),
        "unscorable": dict(why),
        "error_accuracy": accuracy.error,
        "correct_accuracy": accuracy.correct,
        "f1": asdict(f1_with_interval(found, threshold)),
        "best_threshold": best,
        "best_f1": None if best is None else accuracies(found, best).f1,
        "curve": _thin(found),
    }


def _thin(found: Windows) -> Measured:
    """At most CURVE_POINTS of the curve, evenly spread over its points, for the plot."""
    thresholds, f1s = curve(found)
    some = np.unique(np.linspace(0, max(len(f1s) - 1, 0), CURVE_POINTS).astype(int))[: len(f1s)]
    return {"thresholds": thresholds[some].tolist(), "f1": f1s[some].tolist()}
