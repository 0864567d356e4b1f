"""A solution with a label for each step, and the row of a JSONL file that holds it.

The row is TRL's stepwise format (`prompt`, `completions`, `labels`; huggingface/trl, "Stepwise supervision"), widened:
a label may be a number in [0, 1] (a soft label) or null (a step that nobody judged), `outcome` says whether the final
answer is right, and every other column travels along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from stepscore.errors import InvalidInput, NoSteps
from stepscore.types import Solution

Row = dict[str, Any]

_COLUMNS = ("prompt", "completions", "labels", "outcome")


@dataclass(frozen=True, slots=True)
class Labelled:
    """labels: one for each step, in [0, 1]; None where the step was not judged. outcome: None where it is not known.

    extras: further columns of the row, JSON values.
    """

    solution: Solution
    labels: tuple[float | None, ...]
    outcome: bool | None = None
    extras: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def first_error(self, error_below: float = 0.0) -> int | None:
        """Index of the first step whose label is an error; None if there is none."""
        return next((step for step, label in enumerate(self.labels) if is_error(label, error_below)), None)


def is_error(label: float | None, error_below: float = 0.0) -> bool:
    """Whether a label calls its step wrong: 0 always does (no rollout succeeded), less than `error_below` does too."""
    return label is not None and (label == 0.0 or label < error_below)


def to_row(labelled: Labelled) -> Row:
    """Labels that are exactly 0 or 1 are written as false and true, which TRL reads."""
    outcome = {} if labelled.outcome is None else {"outcome": labelled.outcome}
    return {
        "prompt": labelled.solution.problem,
        "completions": list(labelled.solution.steps),
        "labels": [bool(label) if label in (0.0, 1.0) else label for label in labelled.labels],
        **outcome,
        **labelled.extras,
    }


def of_row(row: Mapping[str, Any]) -> Labelled:
    """Raises InvalidInput where a column is missing, of another kind, or has more or fewer labels than steps."""
    missing = [name for name in _COLUMNS[:3] if name not in row]
    if missing:
        have = ", ".join(row) or "none"
        raise InvalidInput(f"{', '.join(missing)} missing (columns: {have})", field=missing[0])
    steps, labels, outcome = row["completions"], row["labels"], row.get("outcome")
    if not isinstance(row["prompt"], str):
        raise InvalidInput('"prompt" must be text', field="prompt")
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise InvalidInput('"completions" must be a list of texts', field="completions")
    if not steps:
        raise NoSteps("The solution holds no step.", field="completions")
    if not isinstance(labels, list) or len(labels) != len(steps):
        count = len(labels) if isinstance(labels, list) else "no list of"
        raise InvalidInput(f"{count} labels for {len(steps)} steps", field="labels")
    if outcome is not None and not isinstance(outcome, bool):
        raise InvalidInput('"outcome" must be true or false', field="outcome")
    extras = {name: value for name, value in row.items() if name not in _COLUMNS}
    return Labelled(Solution(row["prompt"], tuple(steps)), tuple(map(_label, labels)), outcome, extras)


def _label(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, bool | int | float) or not 0.0 <= value <= 1.0:
        raise InvalidInput(f"label {value!r} is neither true, false, null nor a number in [0, 1]", field="labels")
    return float(value)
