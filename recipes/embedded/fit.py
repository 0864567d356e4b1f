"""Fit the four constants of the reading on the development split, so that 0.5 means something.

    python -m recipes.embedded.fit --data DATA --shipped models/stepscore/embedded

The threshold 0.5 becomes the log-probability at which the F1 of the first error is highest; of thresholds whose F1 is
the same within a point, far less than its interval, the one with the fewest false alarms. The slope is then the one
with the least log loss over the labelled steps. Steps without a digit get a logistic regression of their own. Needs the
`dev` extra.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from recipes.embedded.measure import readings
from recipes.embedded.mixture import development
from recipes.embedded.rows import Row
from stepscore.families.number_logprob import CONFIG_KEY, DIGITS
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring
from stepscore.types import Solution
from stepscore_service.jobs.metrics.first_error import curve, windows

STEEPEST = 5.0
SAME = 0.01
"""Difference of F1 that means nothing: intervals on the development split are ten times wider."""
ALL_DIGITS = frozenset(DIGITS)


@dataclass(frozen=True, slots=True)
class LabelledStep:
    """lowest: the step's lowest log-probability. label: 1 sound, 0 wrong, None not judged."""

    lowest: float
    label: float | None
    wordy: bool


Read = list[LabelledStep]
"""The steps of one solution."""


def labelled_steps(scorer: Scoring, rows: Sequence[Row]) -> list[Read]:
    solutions = [Solution(row["prompt"], tuple(row["completions"])) for row in rows]
    found: list[Read] = []
    for row, reading in zip(rows, readings(scorer, solutions, "development split"), strict=True):
        if reading is not None:
            steps = zip(reading.extras["lowest_logprob"], row["labels"], row["completions"], strict=True)
            found.append([LabelledStep(lowest, label, ALL_DIGITS.isdisjoint(text)) for lowest, label, text in steps])
    return found


def constants(solutions: Sequence[Read]) -> dict[str, float]:
    """The four, as config.json holds them. Raises ValueError if one kind of steps has a single label."""
    place = threshold(solutions)
    judged = [step for solution in solutions for step in solution if step.label is not None]
    slope = steepness([step for step in judged if not step.wordy], place)
    wordy = [step for step in judged if step.wordy]
    line = LogisticRegression().fit([[step.lowest] for step in wordy], [bool(step.label) for step in wordy])
    return {
        "slope": slope,
        "offset": -slope * place,
        "wordy_slope": float(line.coef_[0, 0]),
        "wordy_offset": float(line.intercept_[0]),
    }


def threshold(solutions: Sequence[Read]) -> float:
    """The lowest log-probability whose F1 of the first error is the highest within SAME; steps without digits are not
    taken for errors.
    """
    numbers = [[math.inf if step.wordy else step.lowest for step in solution] for solution in solutions]
    labels = [next((n for n, step in enumerate(solution) if step.label == 0), -1) for solution in solutions]
    return lowest_best(list(zip(numbers, labels, strict=True)))


def lowest_best(solved: Sequence[tuple[Sequence[float], int]]) -> float:
    """The lowest threshold whose F1 of the first error is the highest within SAME.

    solved: a solution's numbers and its first wrong step, -1 if it has none. Raises ValueError if all have one or none
    has.
    """
    thresholds, f1s = curve(windows(solved))
    if not len(f1s):
        raise ValueError("the development split needs solutions with an error and solutions without")
    return float(thresholds[f1s >= f1s.max() - SAME].min())


def steepness(steps: Sequence[LabelledStep], place: float) -> float:
    """The slope of the logistic through 0.5 at `place` that has the least log loss."""
    distances = np.array([step.lowest - place for step in steps])
    labels = np.array([float(step.label or 0.0) for step in steps])

    def loss(slope: float) -> float:
        return float(np.mean(np.logaddexp(0.0, slope * distances) - labels * slope * distances))

    return float(minimize_scalar(loss, bounds=(1e-3, STEEPEST), method="bounded").x)


def main(
    data: Annotated[Path, typer.Option(help="folder with steps/", exists=True)],
    shipped: Annotated[Path, typer.Option(help="folder with recipe.json", exists=True)],
    model: Annotated[str, typer.Option(help="the checkpoint that is read")] = "embedded",
) -> None:
    """Fit the constants and write them to recipe.json."""
    rows = [row for group in development(data) for row in group]
    found = constants(labelled_steps(open_scorer(model), rows))
    file = shipped / "recipe.json"
    recipe: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    recipe["config"][CONFIG_KEY] = {name: round(value, 4) for name, value in found.items()}
    file.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(recipe["config"]))


if __name__ == "__main__":
    typer.run(main)
