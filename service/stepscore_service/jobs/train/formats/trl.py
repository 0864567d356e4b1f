"""TRL's stepwise rows, which `stepscore label` writes: `prompt`, `completions`, `labels`, and `outcome` if known."""

from __future__ import annotations

from collections.abc import Iterator

from stepscore_service.jobs.labelled import Labelled, of_row
from stepscore_service.jobs.train.formats.base import Format, Reading, Row


def solutions(row: Row, reading: Reading) -> Iterator[Labelled]:
    yield of_row(row)


FORMAT = Format(
    "trl",
    ("prompt", "completions", "labels"),
    "https://huggingface.co/docs/trl/dataset_formats#stepwise-supervision",
    solutions,
)
