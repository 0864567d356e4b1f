"""ProcessBench's rows: `problem`, `steps`, `label` = index of the first wrong step, -1 if none is wrong.

Steps before the first error are sound, it is wrong, and nobody judged those after it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepscore.errors import InvalidInput, NoSteps
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.base import Format, ParseOptions
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.data.rows import RowModel, RowText, WholeNumber, read_as, truth_value
from stepscore_service.jobs.runs.source import JsonRow


class ProcessBenchRow(RowModel):
    """label: the first wrong step, from 0; -1 if there is none."""

    problem: RowText
    steps: list[RowText]
    label: WholeNumber


def solutions(row: JsonRow, reading: ParseOptions) -> Iterator[Labelled]:
    found = read_as(ProcessBenchRow, row)
    count, first = len(found.steps), found.label
    if not count:
        raise NoSteps("'steps' is empty", field="steps")
    if not -1 <= first < count:
        raise InvalidInput(f"label {first} names no step; there are {count} (0 to {count - 1}, or -1)", field="label")
    labels = (1.0,) * count if first < 0 else (*(1.0,) * first, 0.0, *(None,) * (count - first - 1))
    outcome = truth_value(row.get("final_answer_correct"))
    yield Labelled(Solution(found.problem, tuple(found.steps)), labels, outcome if isinstance(outcome, bool) else None)


FORMAT = Format(
    "processbench", ("problem", "steps", "label"), "https://huggingface.co/datasets/Qwen/ProcessBench", solutions
)
