"""Rows that `stepscore rerank` wrote, as soft labels: each candidate is a solution, its rewards are its labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stepscore.errors import InvalidInput, StepscoreError
from stepscore_service.jobs.data.formats.base import Format, ParseOptions, column
from stepscore_service.jobs.data.formats.scored import soft_labelled
from stepscore_service.jobs.data.items import candidates_row, split_candidates
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.runs.source import JsonRow


def solutions(row: JsonRow, reading: ParseOptions) -> Iterator[Labelled]:
    found = split_candidates(dict(row))
    correct: Sequence[bool | None] = candidates_row(dict(row)).correct or [None] * len(found)
    for result in column(row, "results", list):
        index = _index(result, len(found))
        candidate = found[index]
        if isinstance(candidate, StepscoreError):
            raise candidate
        yield soft_labelled(candidate.solution, result.get("rewards"), correct[index])


def _index(result: Any, candidates: int) -> int:
    index = result.get("index") if isinstance(result, dict) else None
    if not isinstance(index, int) or not 0 <= index < candidates:
        raise InvalidInput(f"'results' holds an entry of none of {candidates} candidates", field="results")
    return index


FORMAT = Format("reranked", ("problem", "candidates", "results"), "docs/formats.md", solutions)
