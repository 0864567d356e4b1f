"""Labelled data: JSONL or one JSON array, row by row, all of it or a part spread evenly."""

from __future__ import annotations

import io
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs import source as inputs

values = st.lists(
    st.dictionaries(st.text(max_size=3), st.text() | st.integers() | st.none(), max_size=3) | st.integers()
)


class Slow(io.StringIO):
    """Gives a few characters at a time, so that elements are cut everywhere."""

    def read(self, size: int | None = -1) -> str:
        return super().read(3)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(values, st.sampled_from([None, 1]))
def test_elements_are_those_of_the_array(rows: list[object], indent: int | None) -> None:
    assert [json.loads(each) for each in inputs.elements(Slow(json.dumps(rows, indent=indent)))] == rows


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": 1}, {"a"', "[", '[{"a": oops}]'])
def test_an_array_that_breaks_off_is_an_error(text: str) -> None:
    with pytest.raises(InvalidInput, match="breaks off"):
        list(inputs.elements(Slow(text)))


def test_both_forms_hold_the_same_rows(tmp_path: Path) -> None:
    rows = [{"n": n} for n in range(10)]
    lines, array = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    array.write_text(json.dumps(rows, indent=2))
    for path in (lines, array):
        found = inputs.open_input(str(path))
        assert found.total == 10
        assert [(line.number, line.row()) for line in found.lines()] == [(n + 1, row) for n, row in enumerate(rows)]


@settings(max_examples=40)
@given(st.integers(1, 50), st.integers(0, 60))
def test_a_sample_has_its_size_and_is_spread(rows: int, sample: int) -> None:
    taken = [place for place in range(rows) if inputs.is_sampled(place, sample, rows)]
    assert len(taken) == (min(sample, rows) if sample else rows)
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_large_array_is_read_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("w") as file:
        file.write("[" + ",".join(json.dumps({"text": "x" * 20_000}) for _ in range(500)) + "]")
    found = inputs.Input(str(path), None, None, array=True)
    tracemalloc.start()
    assert sum(1 for _ in found.lines()) == 500
    assert tracemalloc.get_traced_memory()[1] < 8 << 20 < path.stat().st_size
    tracemalloc.stop()
