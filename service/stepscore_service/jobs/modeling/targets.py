"""From the labels in a file to what is trained: which steps count, and as what."""

from __future__ import annotations

from typing import Literal

from stepscore_service.jobs.data.labelled import Labelled

AfterError = Literal["masked", "kept", "zeroed"]
"""Labels after the first error: left out (Qwen's data), as they are (PQM's), or all wrong."""

Labels = tuple[float | None, ...]


def after_first_error(labelled: Labelled, how: AfterError, error_below: float = 0.0) -> Labels:
    first = labelled.first_error(error_below)
    if how == "kept" or first is None:
        return labelled.labels
    rest = 0.0 if how == "zeroed" else None
    return (*labelled.labels[: first + 1], *(rest,) * (len(labelled.labels) - first - 1))


def outcome_only(labelled: Labelled) -> Labels:
    """The outcome as the label of the last step, which is all that an outcome reward model learns.

    If the outcome is not known, the last step's own label replaces it.
    """
    known = labelled.outcome
    last = labelled.labels[-1] if known is None else float(known)
    return (*(None,) * (len(labelled.labels) - 1), last)
