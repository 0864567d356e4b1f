"""TRL's stepwise rows, which `stepscore label` writes: `prompt`, `completions`, `labels`, and `outcome` if known.

`problem`, `steps` and `labels` are the same under the names that `stepscore score` reads.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepscore_service.jobs.data.formats.base import Format, ParseOptions
from stepscore_service.jobs.data.labelled import Labelled, of_row
from stepscore_service.jobs.runs.source import JsonRow


def solutions(row: JsonRow, reading: ParseOptions) -> Iterator[Labelled]:
    yield of_row(row)


FORMAT = Format(
    "trl",
    ("prompt", "completions", "labels"),
    "https://huggingface.co/docs/trl/dataset_formats#stepwise-supervision",
    solutions,
)
STEPS = Format("steps", ("problem", "steps", "labels"), "docs/formats.md", solutions)
