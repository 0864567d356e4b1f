"""The same rows from JSONL, an array, CSV, TSV, gzip and Parquet, under the file's own column names."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli_case import invoke, read, write
from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs.source import line_numbered, open_source

ROWS: list[dict[str, Any]] = [
    {"id": "a", "question": "2+3?", "response": "2+3 = 5, so\n\nthe answer is 5."},
    {"id": "b", "question": 'He said "1;2", what?', "response": "[1, 2]\tübrig"},
]
STEPS: list[dict[str, Any]] = [{"question": "1?", "steps": ["a, b", 'c "d"\ne']}, {"question": "2?", "steps": ["f"]}]


def as_csv(path: Path, rows: list[dict[str, Any]], separator: str = ",") -> Path:
    cells = [{name: v if isinstance(v, str) else json.dumps(v) for name, v in row.items()} for row in rows]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        table.writeheader()
        table.writerows(cells)
    return path


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def as_array(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows, indent=1))
    return path


def write_zip(path: Path, rows: list[dict[str, Any]]) -> Path:
    plain = as_csv(path.with_suffix(""), rows) if ".csv" in path.name else write(path.with_suffix(""), rows)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], Path]] = {
    "rows.jsonl": write,
    "rows.json": as_array,
    "rows.csv": as_csv,
    "rows.tsv": lambda path, rows: as_csv(path, rows, "\t"),
    "rows.csv.gz": write_zip,
    "rows.jsonl.gz": write_zip,
    "rows.parquet": as_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("rows", [ROWS, STEPS])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    source = open_source(str(WRITERS[name](tmp_path / name, rows)))
    assert [line.row() for line in source.lines()] == rows
    assert [line.number for line in source.lines()] == [1, 2] or name == "rows.jsonl"


@pytest.mark.parametrize("name", WRITERS)
def test_score_takes_any_of_them_under_its_own_names(tmp_path: Path, folder: Path, name: str) -> None:
    file, out = WRITERS[name](tmp_path / name, ROWS), tmp_path / "out.jsonl"
    columns = ["--columns", "problem=question, solution=response"]
    result = invoke("score", file, *columns, "--out", out, "--model", f"tiny={folder}", "--engine", "fake")
    assert result.exit_code == 0, result.output
    assert [(row["id"], row["problem"], row["solution"]) for row in read(out)] == [tuple(row.values()) for row in ROWS]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cells, st.lists(cells)), min_size=1))
def test_csv_gives_back_what_was_written(tmp_path: Path, rows: list[tuple[str, list[str]]]) -> None:
    written = [{"problem": problem, "steps": steps} for problem, steps in rows]
    source = open_source(str(as_csv(tmp_path / "in.csv", written)))
    assert [line.row() for line in source.lines()] == written


def test_lists_as_pandas_writes_them_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("problem,steps,labels,note\np,\"['it''s', 'b']\".,,\n".replace("it''s", "its").replace('".', '"'))
    (line,) = open_source(str(path)).lines()
    assert line.row() == {"problem": "p", "steps": ["its", "b"], "labels": None, "note": ""}


def test_a_row_with_too_many_cells_is_a_row_error(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("problem,solution\np,a\np,a,b\np,a\n")
    result = invoke("score", path, "--model", f"tiny={folder}", "--engine", "fake")
    rows = read(tmp_path / "in.scored.jsonl")
    assert (result.exit_code, ["error" in row for row in rows]) == (1, [False, True, False])
    assert "3 cells in a table of 2 columns" in rows[1]["error"]["message"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,a\n1,2\n", "two columns of one name"),
        (b"a,b\n\xff\xfe,2\n", "is not UTF-8 text (byte 0xff); convert the file, for example with `iconv"),
        ("problem,solution\np,s\n".encode("utf-16"), "is UTF-16 text; convert it with `iconv"),
        (b"PK\x03\x04rest", "is a zip archive"),
        (b"problem;solution\np;s\n", "its cells seem to lie between ';'; write .csv with commas and .tsv with tabs"),
        (b"problem\tsolution\np\ts\n", "its cells seem to lie between tabs"),
        (b"", "holds no rows"),
        (b"a,b\n", "holds no rows"),
    ],
)
def test_what_is_no_table_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    assert said in invoke("score", path, "--engine", "fake").output


def test_what_is_no_parquet_says_so(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    path.write_bytes(b"PAR1 but nothing else")
    result = invoke("score", path, "--engine", "fake")
    assert (result.exit_code, "is not a Parquet file" in result.output) == (2, True)
    assert not result.output.endswith("..\n")


def test_a_tsv_with_commas_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text("problem,solution\np,s\n")
    assert "has one column, 'problem,solution'" in invoke("score", path, "--engine", "fake").output


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ROWS)
    said = invoke("score", file, "--columns", "problem=query", "--engine", "fake").output
    assert "'query', which --columns gives for 'problem', is missing (columns: id, question, response)" in said


@pytest.mark.parametrize("columns", ["problem", "problem=", "=a"])
def test_columns_of_another_form_are_refused(tmp_path: Path, columns: str) -> None:
    result = invoke("score", write(tmp_path / "in.jsonl", ROWS), "--columns", columns)
    assert (result.exit_code, "is not a list like problem=question" in result.output) == (2, True)


def test_a_column_that_has_our_name_and_is_not_meant_is_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", [{"problem": "no", "question": "yes"}])
    line = line_numbered(str(file), 1, "problem=question")
    assert line.row() == {"input_problem": "no", "problem": "yes"}
    with pytest.raises(InvalidInput, match="no row has the line 2; the last one is 1"):
        line_numbered(str(file), 2)


def steps_of(path: Path, cell: str) -> Any:
    """What a cell of the column `steps` holds."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["steps"], [cell]])
    (line,) = open_source(str(path)).lines()
    return line.row()["steps"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n")), min_size=2, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_an_array_as_numpy_prints_it_keeps_its_texts_apart(tmp_path: Path, texts: list[str]) -> None:
    """As datasets' and pandas' to_csv write Parquet's lists (huggingface/datasets issue 6778)."""
    assert steps_of(tmp_path / "a.csv", str(numpy.array(texts, dtype=object))) == texts


@pytest.mark.parametrize(
    ("cell", "held"),
    [
        ("[1 0 -1]", [1, 0, -1]),
        ("[ True False]", [True, False]),
        ("[1. nan 0.5]", [1.0, None, 0.5]),
        ("['a', 'b c']", ["a", "b c"]),
        ("['only one']", ["only one"]),
        ("['a' None 'b']", ["a", None, "b"]),
        ("['a' 'b' ... 'y' 'z']", "['a' 'b' ... 'y' 'z']"),
        ("['a', 'b' 'c']", "['a', 'b' 'c']"),
        ("It's 2 + 3.", "It's 2 + 3."),
        (r"['\sqrt{2}']", [r"\sqrt{2}"]),
    ],
)
def test_a_list_in_a_cell_is_read_whole_or_not_at_all(tmp_path: Path, cell: str, held: Any) -> None:
    assert steps_of(tmp_path / "a.csv", cell) == held


NESTED: list[dict[str, Any]] = [
    {"doc": {"question": "2+3?"}, "resps": [["2+3 = 5.\n\nThe answer is 5."]], "exact_match": 1.0},
    {"doc": {"question": "1+1?"}, "resps": [["1+1 = 3.\n\nThe answer is 3."]], "exact_match": 0.0},
]
INSIDE = "problem=doc.question,solution=resps.0.0,is_correct=exact_match"


def test_a_column_inside_another_is_named_by_its_path(tmp_path: Path, folder: Path) -> None:
    """The samples that lm-evaluation-harness logs (its issue 1627: what to do with them?)."""
    out = tmp_path / "out.jsonl"
    command = ["score", write(tmp_path / "samples.jsonl", NESTED), "--columns", INSIDE, "--out", out]
    result = invoke(*command, "--model", f"tiny={folder}", "--engine", "fake")
    assert result.exit_code == 0, result.output
    rows = read(out)
    assert [(row["problem"], row["is_correct"]) for row in rows] == [("2+3?", 1.0), ("1+1?", 0.0)]
    assert [row["doc"] for row in rows] == [row["doc"] for row in NESTED]
    assert [len(row["steps"]) for row in rows] == [2, 2]


@pytest.mark.parametrize("path", ["doc.qestion", "resps.1", "resps.x", "doc.question.0", "doc."])
def test_a_path_that_leads_nowhere_is_missing(tmp_path: Path, path: str) -> None:
    source = open_source(str(write(tmp_path / "a.jsonl", NESTED)), columns=f"problem={path}")
    with pytest.raises(InvalidInput, match="is missing"):
        next(source.lines()).row()


def test_a_column_whose_name_holds_a_dot_is_itself(tmp_path: Path) -> None:
    rows = [{"a.b": "this", "a": {"b": "that"}}]
    source = open_source(str(write(tmp_path / "a.jsonl", rows)), columns="problem=a.b")
    assert next(source.lines()).row() == {"problem": "this", "a": {"b": "that"}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"version": 2, "samples": [{"input": "2?"}]}\n', """jq -c '.["samples"][]' FILE"""),
        ('{"problem": {"0": "a", "1": "b"}, "steps": {"0": ["a"], "1": ["b"]}}\n', "orient='records', lines=True"),
        ('{\n "problem": "p",\n "steps": ["a"]\n}\n', "over several lines; a file holds one object a line"),
    ],
)
def test_a_file_that_is_one_object_says_where_its_rows_are(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "log.json").write_text(text)
    result = invoke("score", tmp_path / "log.json", "--model", "never-opened")
    assert (result.exit_code, says in result.output) == (2, True), result.output


@pytest.mark.parametrize(
    "text",
    ['problem,solution\n"2+3?","5\n"2+4?","6"\n', 'problem,solution\n"2+3?","5"\n"2+4?","6\n', 'problem\n"a" b\n'],
)
def test_a_quote_that_does_not_close_is_refused_and_takes_in_no_rows(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    result = invoke("score", tmp_path / "a.csv", "--model", "never-opened")
    assert (result.exit_code, "is not CSV" in result.output) == (2, True), result.output


def test_numbers_that_are_not_known_are_null_in_tables(tmp_path: Path, folder: Path) -> None:
    """Parquet's NaN, also inside a list; a column that nobody reads makes no row unusable."""
    nan = float("nan")
    rows = [{"problem": "2?", "steps": ["2"], "logp": nan, "more": [1.0, nan]}]
    rows += [{"problem": "say NaN", "steps": ["NaN"], "logp": 0.5, "more": []}]
    out = tmp_path / "out.jsonl"
    source = as_parquet(tmp_path / "a.parquet", rows)
    result = invoke("score", source, "--out", out, "--model", f"tiny={folder}", "--engine", "fake")
    assert result.exit_code == 0, result.output
    assert [(row["logp"], row["more"]) for row in read(out)] == [(None, [1.0, None]), (0.5, [])]
    assert read(out)[1]["steps"] == ["NaN"]


def test_a_column_of_bytes_is_named(tmp_path: Path) -> None:
    source = as_parquet(tmp_path / "a.parquet", [{"problem": "2?", "steps": ["2"], "image": {"bytes": b"x"}}])
    result = invoke("score", source, "--model", "never-opened")
    assert (result.exit_code, "the column 'image' holds bytes" in result.output) == (2, True), result.output


@pytest.mark.parametrize(
    ("row", "flag"),
    [
        ({"question": "2?", "response": "2"}, "--columns problem=NAME"),
        ({"problem": "2?", "response": "2"}, "--columns solution=NAME"),
    ],
)
def test_an_error_for_a_missing_column_names_the_flag(tmp_path: Path, row: dict[str, str], flag: str) -> None:
    result = invoke("score", write(tmp_path / "a.jsonl", [row]), "--model", "never-opened")
    assert (result.exit_code, flag in result.output) == (2, True), result.output
    wrong = invoke("score", write(tmp_path / "b.jsonl", [{"problem": 5, "solution": "2"}]), "--model", "never-opened")
    assert (wrong.exit_code, "--columns" in wrong.output) == (2, False), wrong.output


def test_a_table_on_standard_input_is_refused_and_makes_no_rows(tmp_path: Path, folder: Path) -> None:
    model = ["--model", f"tiny={folder}", "--engine", "fake"]
    for text in ("problem,solution\n2?,2\n", "[[1, 2]]", "null\n"):
        result = invoke("score", "-", *model, input=text)
        assert (result.exit_code, "not a JSON object" in result.output, result.stdout) == (2, True, ""), result.output
