"""A solution with a label for each step, and the row of a JSONL file that holds it.

The row is TRL's stepwise format (`prompt`, `completions`, `labels`; huggingface/trl, "Stepwise supervision"), widened:
a label may be a number in [0, 1] (a soft label) or null (a step that nobody judged), `outcome` says whether the final
answer is right, and every other column travels along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AliasChoices, Field

from stepscore.errors import InvalidInput, NoSteps
from stepscore.types import Solution
from stepscore_service.jobs.data.rows import RowModel, RowText, TruthValue, read_as
from stepscore_service.jobs.runs.source import JsonRow

_COLUMNS = ("prompt", "problem", "completions", "steps", "labels", "outcome")


@dataclass(frozen=True, slots=True)
class Labelled:
    """labels: one for each step, in [0, 1]; None if the step was not judged. outcome: None if it is not known.

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


def is_labelled(row: JsonRow) -> bool:
    """Whether the row holds steps with a label for each."""
    return "labels" in row and ("completions" in row or "steps" in row)


def to_row(labelled: Labelled) -> JsonRow:
    """Labels that are exactly 0 or 1 are written as false and true, which TRL reads."""
    outcome = {} if labelled.outcome is None else {"outcome": labelled.outcome}
    return {
        "prompt": labelled.solution.problem,
        "completions": list(labelled.solution.steps),
        "labels": [bool(label) if label in (0.0, 1.0) else label for label in labelled.labels],
        **outcome,
        **labelled.extras,
    }


class LabelledRow(RowModel):
    """TRL's columns, or those of `stepscore score`; a label may be soft or null."""

    prompt: RowText = Field(validation_alias=AliasChoices("prompt", "problem"))
    completions: list[RowText] = Field(validation_alias=AliasChoices("completions", "steps"))
    labels: list[Annotated[bool | float | None, Field(ge=0.0, le=1.0)]] = Field(
        description="true, false, null or a number in [0, 1]"
    )
    outcome: TruthValue | None = None


def of_row(row: Mapping[str, Any]) -> Labelled:
    """Raises InvalidInput if a column is missing, of another kind, or has more or fewer labels than steps."""
    found = read_as(LabelledRow, row)
    if not found.completions:
        raise NoSteps("The solution holds no step.", field="completions")
    if len(found.labels) != len(found.completions):
        raise InvalidInput(f"{len(found.labels)} labels for {len(found.completions)} steps", field="labels")
    labels = tuple(None if label is None else float(label) for label in found.labels)
    extras = {name: value for name, value in row.items() if name not in _COLUMNS}
    return Labelled(Solution(found.prompt, tuple(found.completions)), labels, found.outcome, extras)
