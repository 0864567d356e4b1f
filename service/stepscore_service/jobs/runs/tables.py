"""Rows of CSV and Parquet files, as JSON objects.

A cell of CSV is text. In the columns of LISTS it is JSON, a list as Python prints it, which pandas writes, or an array
as NumPy prints it, which pandas and datasets write of Parquet's lists; an empty cell there is null.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import tokenize
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from stepscore.errors import InvalidInput

LISTS = frozenset(
    {
        *("steps", "completions", "candidates", "solutions", "labels", "label", "correct", "outcome", "rewards"),
        *("is_correct", "final_answer_correct"),
        *("error_steps", "modified_process", "original_process", "spans", "results", "groups", "orm"),
    }
)
"""Columns whose cells are not text."""
COLUMNS = LISTS | {
    *("problem", "prompt", "question", "solution", "split", "answer", "ground_truth", "tests", "entry_point"),
    *("id", "idx", "generator", "score", "aggregate", "aggregates", "threshold", "model"),
    *("modified_question", "original_question", "classification", "input", "conversations"),
}
"""Columns that some command reads, the only ones that --columns can name."""
SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
ADVICE = "write .csv with commas and .tsv with tabs"
ROWS_AT_ONCE = 256
LONGEST_CELL = 64 << 20


def table_kind(path: str) -> str:
    """ ".csv", ".tsv" or ".parquet"; "" for every other file. `.gz` behind it counts as nothing."""
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    return suffix if suffix in SEPARATORS or suffix == PARQUET else ""


def csv_rows(file: BinaryIO, separator: str, names: Mapping[str, str]) -> Iterator[dict[str, Any] | InvalidInput]:
    """Each row, or its own error. names: what the file calls a column of ours.

    Raises InvalidInput if it is not a table at all, UnicodeDecodeError.
    """
    csv.field_size_limit(LONGEST_CELL)
    with io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=separator, strict=True)  # else an open quote takes in what follows
        try:
            yield from _csv_rows(reader, names)
        except csv.Error as error:
            raise InvalidInput(
                f"is not CSV: {error} (line {reader.line_num}); a quote inside a cell in quotes is doubled"
            ) from error


def parquet_rows(path: str) -> Iterator[dict[str, Any]]:
    """Raises InvalidInput if pyarrow is missing or the file is not Parquet."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidInput("is Parquet, which needs pyarrow: pip install 'stepscore[tables]'") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise InvalidInput(f"is not a Parquet file: {str(error).rstrip('.')}") from error


def as_json(row: Mapping[str, Any]) -> bytes:
    """Dates and decimals become texts, NaN null, as in pandas. Raises InvalidInput for bytes, which are not text."""
    written = ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {_json_of(name, row[name])}" for name in row)
    return f"{{{written}}}".encode("utf-8", "surrogatepass")


def _json_of(name: str, value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=_as_text)
    except InvalidInput as error:
        raise InvalidInput(f"the column {name!r} holds bytes, which are not text", field=name) from error
    return json.dumps(_without_nan(value), ensure_ascii=False, default=_as_text) if "NaN" in text else text


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    return list(map(_without_nan, value)) if isinstance(value, list | tuple) else value


def _csv_rows(reader: Iterator[list[str]], names: Mapping[str, str]) -> Iterator[dict[str, Any] | InvalidInput]:
    header = next(reader, [])
    if len(header) == 1 and (found := next((mark for mark in (";", "\t", ",") if mark in header[0]), None)):
        name = "tabs" if found == "\t" else repr(found)
        raise InvalidInput(f"has one column, {header[0]!r}: its cells seem to lie between {name}; {ADVICE}")
    if len(set(header)) < len(header):
        raise InvalidInput(f"has two columns of one name ({', '.join(header)})")
    lists = {names.get(name, name) for name in LISTS}
    for cells in filter(None, reader):
        yield _csv_row(header, cells, lists)


def _csv_row(header: list[str], cells: list[str], lists: Container[str]) -> dict[str, Any] | InvalidInput:
    if len(cells) > len(header):
        return InvalidInput(f"{len(cells)} cells in a table of {len(header)} columns; is a cell without its quotes?")
    row: dict[str, Any] = dict(zip(header, cells, strict=False))
    return {name: _value(cell) if name in lists else cell for name, cell in row.items()}


def _value(cell: str) -> Any:
    """What a cell that should hold no text holds; the text itself if it cannot be read."""
    if not cell.strip():
        return None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        pass
    try:
        tokens = _tokens(cell)
        return _array(tokens) if _is_array(tokens) else _literal(cell)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return cell


def _tokens(cell: str) -> list[tokenize.TokenInfo]:
    """As Python reads it. Raises SyntaxError, TokenError."""
    layout = {tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}
    return [each for each in tokenize.generate_tokens(io.StringIO(cell).readline) if each.type not in layout]


def _is_array(tokens: Sequence[tokenize.TokenInfo]) -> bool:
    """Whether entries follow each other without a comma, as NumPy prints them: `['a' 'b']`, which Python joins."""
    entries = {tokenize.STRING, tokenize.NUMBER, tokenize.NAME}
    return any(
        each.type in entries and (after.type in entries or after.string == "-") for each, after in pairwise(tokens)
    )


def _array(tokens: Sequence[tokenize.TokenInfo]) -> list[Any]:
    """Raises ValueError, TypeError, SyntaxError for what is not a list of texts, numbers, truths and gaps."""
    first, *entries, last = (each.string for each in tokens)
    if (first, last) != ("[", "]"):
        raise ValueError("not a list")
    rest = iter(entries)
    return [_entry(each + next(rest, "") if each == "-" else each) for each in rest]


def _entry(text: str) -> Any:
    return None if text == "nan" else _literal(text)


def _literal(text: str) -> Any:
    """Raises ValueError, SyntaxError; TypeError for what JSON cannot hold, such as `...`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a backslash that escapes nothing, as in LaTeX
        found = ast.literal_eval(text)
    json.dumps(found)
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        raise InvalidInput("bytes are not text")
    return str(value)
