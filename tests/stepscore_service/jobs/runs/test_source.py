"""Rows in: JSONL or one JSON array as people have them, row by row, all of it or a part spread evenly."""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
import lzma
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli_case import invoke
from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs import source as inputs
from stepscore_service.jobs.runs.journal import json_line

values = st.lists(
    st.dictionaries(st.text(max_size=3), st.text() | st.integers() | st.none(), max_size=3) | st.integers()
)


def pieces_of(text: str) -> Iterator[str]:
    """A few characters at a time, so that elements are cut everywhere."""
    return (text[at : at + 3] for at in range(0, len(text), 3))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(values, st.sampled_from([None, 1]))
def test_elements_are_those_of_the_array(rows: list[object], indent: int | None) -> None:
    assert [json.loads(each) for each in inputs.elements(pieces_of(json.dumps(rows, indent=indent)))] == rows


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": 1}, {"a"', "[", '[{"a": oops}]', '[{"a": "b', "[1, 2", "[[1]"])
def test_an_array_that_breaks_off_is_an_error(text: str) -> None:
    with pytest.raises(InvalidInput, match="breaks off"):
        list(inputs.elements(pieces_of(text)))


ARRAYS = [
    '[{"a": 1}]\n[{"a": 2}]',
    '[{"a": 1}][{"a": 2}]',
    '[{"a": 1}] and more',
    '[{"a": 1}]\n{"a": 2}',
    '[{"a": 1}]]',
    "[] []",
    '[{"a": 1},]',
    '[,{"a": 1}]',
    '[{"a": 1},,{"a": 2}]',
    '[{"a": 1} {"a": 2}]',
    '[{"a": 1}; {"a": 2}]',
    "[,]",
]


@pytest.mark.parametrize("text", ARRAYS)
def test_what_is_not_one_array_is_refused_and_nothing_is_dropped(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"JSON array"):
        list(inputs.elements(pieces_of(text)))
    path = tmp_path / "a.json"
    path.write_text(text)
    assert "a.json" in refusal(str(path))


def refusal(path: str) -> str:
    """What opening the file ends with."""
    result = invoke("score", path, "--model", "nowhere", "--engine", "fake")
    assert result.exit_code == 2
    return result.output


ROWS = [{"n": n, "text": "é 数 \N{GRINNING FACE}"} for n in range(10)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
ARRAY = json.dumps(ROWS, indent=2, ensure_ascii=False)


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        ARRAY.encode(),
        codecs.BOM_UTF8 + LINES.encode(),
        codecs.BOM_UTF8 + ARRAY.encode(),
        b"\n \n" + ARRAY.encode(),
        codecs.BOM_UTF8 + b" \n" + ARRAY.encode() + b"\n \n",
        LINES.replace("\n", "\r\n").encode(),
        LINES.rstrip("\n").encode(),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a"])
def test_files_are_read_as_people_have_them(tmp_path: Path, content: bytes, compressed: bool, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = inputs.open_source(str(path))
    assert [line.row() for line in found.lines()] == ROWS
    assert found.total == 10


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LINES.encode("utf-16"), "is UTF-16 text"),
        (ARRAY.encode("utf-16"), "is UTF-16 text"),
        (LINES.encode("utf-16-be"), "UTF-16 text without a mark"),
        (LINES.encode("utf-16-le"), "UTF-16 text without a mark"),
        (codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"), "is UTF-16 text"),
        (LINES.encode("utf-32-be"), "convert it to UTF-8"),
        (bz2.compress(LINES.encode()), "bunzip2"),
        (lzma.compress(LINES.encode()), "unxz"),
        (gzip.compress(gzip.compress(LINES.encode())), "gzip-compressed"),
        (gzip.compress(LINES.encode())[:40], "damaged or breaks off"),
        (ARRAY.encode("latin-1", "replace").replace(b"?", b"\xe9"), "not UTF-8"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"PAR1rest", "Parquet"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    assert says in refusal(str(path))


@pytest.mark.parametrize(
    ("text", "says", "field"),
    [
        ('{"id": 7, "logp": -1e999}', "-1e999 is too large", "logp"),
        ('{"id": 7, "logp": 1e400}', "1e400 is too large", "logp"),
        ('{"id": 7, "of": {"each": [1.5, 1e999]}}', "1e999 is too large", "of"),
        ('{"id": 7, "logp": NaN}', "NaN is not JSON", "logp"),
        ('{"id": 7, "logp": [Infinity]}', "Infinity is not JSON", "logp"),
        ('{"id": 7, "logp": -Infinity}', "-Infinity is not JSON", "logp"),
    ],
)
def test_a_number_that_json_cannot_hold_is_an_error_of_its_row(text: str, says: str, field: str) -> None:
    line = inputs.Line(3, text.encode())
    with pytest.raises(InvalidInput, match="line 3, column") as caught:
        line.row()
    assert says in caught.value.message
    assert caught.value.detail == {"line": 3, "field": field}
    assert line.columns()["id"] == 7
    assert json.loads(json_line(line.columns()))["id"] == 7


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"a": ' + "[" * 100_000, '{"a": 1} {"b": 2}', '{"a": 1,}', '{"a": \xff}']
)
def test_what_is_not_an_object_is_an_error_of_its_row(text: str) -> None:
    line = inputs.Line(3, text.encode("latin-1"))
    with pytest.raises(InvalidInput, match="line 3"):
        line.row()
    assert line.columns() == {}


@given(st.recursive(st.text(st.characters()) | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_what_was_read_can_be_written(value: object) -> None:
    row = inputs.Line(1, json.dumps({"column": value}).encode()).row()
    again = json_line(row)
    assert again.decode().endswith("\n")
    assert json.loads(again) == {"column": value}


def test_both_forms_hold_the_same_rows(tmp_path: Path) -> None:
    rows = [{"n": n} for n in range(10)]
    lines, array = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    array.write_text(json.dumps(rows, indent=2))
    for path in (lines, array):
        found = inputs.open_source(str(path))
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
    found = inputs.Source(str(path))
    tracemalloc.start()
    assert sum(1 for _ in found.lines()) == 500
    assert tracemalloc.get_traced_memory()[1] < 8 << 20 < path.stat().st_size
    tracemalloc.stop()
