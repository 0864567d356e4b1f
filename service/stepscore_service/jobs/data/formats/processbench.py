"""ProcessBench's rows: `problem`, `steps`, `label` = index of the first wrong step, -1 if none is wrong.

Steps before the first error are sound, it is wrong, and nobody judged those after it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepscore.errors import InvalidInput
from stepscore.types import Solution
from stepscore_service.jobs.data.formats.base import Format, ParseOptions, column, texts
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.runs.source import JsonRow


def solutions(row: JsonRow, reading: ParseOptions) -> Iterator[Labelled]:
    steps, first = texts(row, "steps"), column(row, "label", int)
    if not -1 <= first < len(steps):
        raise InvalidInput(f"label {first} names no step; there are {len(steps)} (0 to {len(steps) - 1}, or -1)")
    labels = (1.0,) * len(steps) if first < 0 else (*(1.0,) * first, 0.0, *(None,) * (len(steps) - first - 1))
    outcome = row.get("final_answer_correct")
    known = outcome if isinstance(outcome, bool) else None
    yield Labelled(Solution(column(row, "problem", str), tuple(steps)), labels, known)


FORMAT = Format(
    "processbench", ("problem", "steps", "label"), "https://huggingface.co/datasets/Qwen/ProcessBench", solutions
)
