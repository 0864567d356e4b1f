"""Rows in: JSONL, one JSON array, CSV (these also as gzip), Parquet or a dataset of the Hub, each with its number.

A file that cannot be rows ends the command before anything is computed. A row that cannot be used is an error of its
own and ends nothing.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from io import BufferedReader
from itertools import chain
from json.decoder import JSONDecodeError
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

from typer import Option

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs import console
from stepscore_service.jobs.runs.hub import PREFIX as HUB
from stepscore_service.jobs.runs.hub import file_name, hub_rows, is_hub
from stepscore_service.jobs.runs.tables import COLUMNS, PARQUET, SEPARATORS, as_json, csv_rows, parquet_rows, table_kind

STDIN = "-"
LONGEST_LINE = 64 << 20
CHUNK = 1 << 20
"""Bytes or characters that are read at once."""
SHOWN = 40
"""Bytes that a message shows of what is not a row."""
JsonRow = dict[str, Any]
Names = tuple[tuple[str, str], ...]
ColumnsFlag = Annotated[
    str,
    Option(metavar="OURS=THEIRS,…", help="the file's own column names, such as problem=question; more after commas"),
]
"""The flag that every command with rows as input has."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(?<!\.jsonl)(?<!\.json)(?<!\.csv)(?<!\.gz)(?<!\.parquet)\Z")
EMPTY = "holds no rows; there is nothing to do"
SEVERAL_LINES = "holds a JSON object over several lines; a file holds one object a line, or one array"
_GZIP = b"\x1f\x8b"
_OTHER_KINDS = {
    b"\xff\xfe": "UTF-16 text; convert it with `iconv -f UTF-16 -t UTF-8`",
    b"\xfe\xff": "UTF-16 text; convert it with `iconv -f UTF-16 -t UTF-8`",
    _GZIP: "gzip-compressed; decompress it with `zcat`",
    b"BZh": "bzip2-compressed; decompress it with `bunzip2`",
    b"\xfd7zXZ": "xz-compressed; decompress it with `unxz`",
    b"(\xb5/\xfd": "Zstandard-compressed; decompress it with `unzstd`",
    b"PK\x03\x04": "a zip archive; unpack it",
    b"PAR1": "a Parquet file; save it under a name that ends with .parquet",
}
"""By what a file begins with. A file that is gzip inside gzip begins so too."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank, one element of an array, or one row of a table.

    number: from 1, as an editor counts lines; rows of a table are counted without its header. names: see `Source`.
    wrong: why a row of a table cannot be read.
    """

    number: int
    content: bytes
    names: Names = ()
    wrong: str = ""

    def row(self) -> JsonRow:
        """The JSON object. Raises InvalidInput, which names the line and what is wrong with it."""
        if self.wrong:
            raise InvalidInput(f"line {self.number}: {self.wrong}", line=self.number)
        row = self._parse()
        for ours, theirs in self.names:
            if _at(row, theirs) is _ABSENT:
                have = ", ".join(row) or "none"
                message = f"{theirs!r}, which --columns gives for {ours!r}, is missing (columns: {have})"
                raise InvalidInput(f"line {self.number}: {message}", line=self.number, field=theirs)
        return self._rename(row)

    def _parse(self) -> JsonRow:
        try:
            row = json.loads(self.content, parse_constant=_refuse, parse_float=_finite)
        except InvalidInput as error:
            raise self._with_column(error) from error
        except UnicodeDecodeError as error:
            raise InvalidInput(f"line {self.number} {_not_utf8(error)}", line=self.number) from error
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"line {self.number} is not JSON: {error}", line=self.number) from error
        if not isinstance(row, dict):
            raise InvalidInput(f"line {self.number} is {kind_of_value(row)}, not an object", line=self.number)
        return row

    def columns(self) -> JsonRow:
        """What can be repeated of the row: numbers that JSON cannot hold as texts, nothing of what is not a row."""
        try:
            row = json.loads(self.content, parse_constant=_Token, parse_float=_number_or_token)
        except (ValueError, RecursionError):
            return {}
        return self._rename(row) if isinstance(row, dict) else {}

    def _rename(self, row: JsonRow) -> JsonRow:
        """The row under our names. A column that has one of our names and is not meant becomes `input_NAME`.

        A column in which one of ours lies stays as well.
        """
        if not self.names:
            return row
        ours_of = {theirs: ours for ours, theirs in self.names}
        taken = set(ours_of.values())
        found = {ours_of.get(name) or (f"input_{name}" if name in taken else name): row[name] for name in row}
        inside = {ours: _at(row, theirs) for ours, theirs in self.names if theirs not in row}
        return found | {ours: value for ours, value in inside.items() if value is not _ABSENT}

    def _with_column(self, error: InvalidInput) -> InvalidInput:
        named = [name for name, value in self.columns().items() if _holds_token(value)]
        where = f", column {named[0]!r}" if named else ""
        detail = {"field": named[0]} if named else {}
        return InvalidInput(f"line {self.number}{where}: {error.message}", line=self.number, **detail)


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from. rows: how many it holds; digest: SHA-256 of it. Both are None for standard input.

    sample: take so many rows, spread evenly over the file, which may be sorted; 0 takes all.
    names: pairs of a column that a command reads and the one of the file that is meant by it.
    """

    path: str
    rows: int | None = None
    digest: str | None = None
    sample: int = 0
    names: Names = ()

    @property
    def total(self) -> int | None:
        """How many rows `lines` gives, if that is known."""
        return self.rows if self.rows is None else min(self.rows, self.sample or self.rows)

    def refuse_output(self, *outputs: Path | str | None) -> None:
        """Ends the command if one of the files that it would write is its own input. None and `-`: no file."""
        for each in outputs:
            if each in (None, STDIN) or self.path == STDIN or is_hub(self.path):
                continue
            out = Path(each or "")
            if out.resolve() == Path(self.path).resolve() or (out.exists() and out.samefile(self.path)):
                console.fail(f"{out} is the input, which would be overwritten. Give another --out.")

    def lines(self) -> Iterator[Line]:
        """Ends the command if the source is not rows at all."""
        places = enumerate(self._all())
        chosen = (line for place, line in places if self.rows is None or is_sampled(place, self.sample, self.rows))
        return (replace(line, names=self.names) for line in chosen) if self.names else chosen

    def _all(self) -> Iterator[Line]:
        try:
            if self.path == STDIN:
                yield from _of_pipe(_lines(sys.stdin.buffer))
            elif is_hub(self.path):
                yield from _table_lines(hub_rows(self.path))
            elif table_kind(self.path) == PARQUET:
                yield from _table_lines(parquet_rows(self.path))
            else:
                yield from self._text_lines()
        except InvalidInput as error:
            console.fail(f"{'standard input' if self.path == STDIN else self.path} {error.message}.")

    def _text_lines(self) -> Iterator[Line]:
        with _open(self.path) as file:
            if separator := SEPARATORS.get(table_kind(self.path)):
                _refuse_other_kind(file.peek(8))
                yield from _table_lines(csv_rows(file, separator, dict(self.names)))
            else:
                yield from _lines(file)


def names_of(columns: str) -> Names:
    """The pairs of `--columns OURS=THEIRS,…`.

    Ends the command if it has another form, a name twice, or one of ours that no command reads.
    """
    pairs = [tuple(part.strip() for part in each.partition("=")[::2]) for each in filter(None, columns.split(","))]
    for names in zip(*pairs, strict=True):
        if not all(names):
            console.fail(f"--columns {columns} is not a list like problem=question,solution=response.")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            console.fail(f"--columns {columns} names {twice[0]} twice.")
    for ours, _ in pairs:
        if ours not in COLUMNS:
            meant = get_close_matches(ours, COLUMNS, 1) or [", ".join(sorted(COLUMNS))]
            console.fail(f"--columns {columns}: no command reads a column {ours!r}; do you mean {meant[0]}?")
    return tuple((ours, theirs) for ours, theirs in pairs)


def open_source(path: str, *, sample: int = 0, columns: str = "") -> Source:
    """Look at the input once: how many rows it has, and its digest.

    columns: as in --columns. Ends the command if it cannot be read, is not rows, or holds none.
    """
    names = names_of(columns)
    if path == STDIN:
        return Source(path, names=names)
    try:
        rows, digest = _hub_digest(path) if is_hub(path) else _file_digest(path)
    except OSError as error:
        reason, hub = error.strerror or error, f" A dataset of the Hub is {HUB}{path}." if _HUB_ID.match(path) else ""
        console.fail(
            f"cannot read {path}: {reason}. Give JSONL, a JSON array, CSV or Parquet, or - for standard input.{hub}"
        )
    except (EOFError, zlib.error) as error:
        console.fail(f"cannot read {path}: it is damaged or breaks off ({error}).")
    if not rows:
        console.fail(f"{path} {EMPTY}.")
    return Source(path, rows, digest, sample, names)


def results_name(path: str, ending: str) -> Path:
    """Where results of an input go by default: beside a file, in this folder for a dataset of the Hub."""
    if is_hub(path):
        return Path(f"{file_name(path)}.{ending}")
    return Path(path.removesuffix(".gz")).with_suffix(f".{ending}")


def _file_digest(path: str) -> tuple[int, str]:
    """How many rows, and the SHA-256 of the file. Raises OSError, EOFError, zlib.error."""
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return sum(1 for _ in Source(path).lines()), digest


def _hub_digest(path: str) -> tuple[int, str]:
    """The same of a dataset's rows."""
    rows, digest = 0, hashlib.sha256()
    for line in Source(path).lines():
        rows += 1
        digest.update(line.content + b"\n")
    return rows, digest.hexdigest()


def line_numbered(path: str, number: int, columns: str = "") -> Line:
    """Ends the command if the file cannot be read. Raises InvalidInput if no row has this number."""
    source = open_source(path, columns=columns)
    last = 0
    for line in source.lines():
        last = line.number
        if last == number:
            return line
    raise InvalidInput(f"no row has the line {number}; the last one is {last}", line=number)


def looks_like_rows(path: str) -> bool:
    """Whether a file is rows and not a plain text: by its name, or because it begins with a JSON object."""
    if (
        is_hub(path)
        or table_kind(path)
        or Path(path.removesuffix(".gz")).suffix.lower() in (".json", ".jsonl", ".ndjson")
    ):
        return True
    try:
        with Path(path).open("rb") as file:
            return file.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")
    except OSError:
        return False


def is_sampled(place: int, sample: int, rows: int) -> bool:
    """Whether the row at `place` (from 0) is one of `sample` among `rows`."""
    return not 0 < sample < rows or (place + 1) * sample // rows > place * sample // rows


def elements(chunks: Iterable[str]) -> Iterator[str]:
    """The elements of a JSON array as texts, holding one chunk and one element at a time. Raises InvalidInput."""
    array = _ArrayText(iter(chunks))
    array.take("[")
    if array.peek() == "]":
        array.take("]")
    else:
        yield array.element()
        while array.take(",]") == ",":
            yield array.element()
    if array.peek():
        raise InvalidInput("continues after the end of its JSON array; a file holds one array, or one object a line")


class _ArrayText:
    """The text of an array, of which only what is not read yet is held."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks, self._buffer, self._at = chunks, "", 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def take(self, expected: str) -> str:
        found = self.peek()
        if not found:
            raise InvalidInput("breaks off inside its JSON array")
        if found not in expected:
            names = " or ".join(map(repr, expected))
            raise InvalidInput(f"is not a JSON array: {found!r} is where {names} should be")
        self._at += 1
        return found

    def element(self) -> str:
        self.peek()
        while True:
            try:
                _, end = self._decoder.raw_decode(self._buffer, self._at)
                if end < len(self._buffer) or not self._more():
                    break
            except (JSONDecodeError, RecursionError) as error:
                if not self._may_continue(error) or not self._more():
                    raise InvalidInput(f"is not a JSON array, or breaks off: {error}") from error
        found, self._at = self._buffer[self._at : end], end
        return found

    def _may_continue(self, error: Exception) -> bool:
        """Whether the next chunk could mend it: the error is a text without its end, or at the end of the buffer."""
        if not isinstance(error, JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated") or error.pos > len(self._buffer) - 16

    def _more(self) -> bool:
        chunk = next(self._chunks, "")
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        return bool(chunk)


@contextmanager
def _open(path: str) -> Iterator[BufferedReader]:
    with Path(path).open("rb") as raw:
        if raw.peek(2)[:2] != _GZIP:
            yield raw
            return
        with gzip.open(raw) as file:
            yield cast(BufferedReader, file)  # it has what is used of one: read, readline and peek


def _lines(stream: BinaryIO) -> Iterator[Line]:
    """Raises InvalidInput if the whole is not rows."""
    number, first = 1, _without_mark(stream.readline(CHUNK))
    while first and not first.strip():
        number, first = number + 1, stream.readline(CHUNK)
    if first.lstrip().startswith(b"["):
        chunks = chain([first], iter(partial(stream.read, CHUNK), b""))
        yield from _array_lines(chunks)
        return
    if not first.endswith(b"\n"):
        first += stream.readline(LONGEST_LINE)
    second = stream.readline(LONGEST_LINE + 1) if first.strip() == b"{" else b""
    if second.lstrip().startswith(b'"'):
        raise InvalidInput(f"{SEVERAL_LINES}: jq -c . FILE")
    rest = iter(partial(stream.readline, LONGEST_LINE + 1), b"")
    for at, content in enumerate(chain(filter(None, [first, second]), rest), start=number):
        if len(content) > LONGEST_LINE:
            raise InvalidInput(f"has a line {at} that is longer than {LONGEST_LINE >> 20} MiB, so it is not JSONL")
        if content.strip():
            yield Line(at, content)


def _of_pipe(lines: Iterator[Line]) -> Iterator[Line]:
    """Raises InvalidInput if there is no line, or the first is not an object."""
    first = next(lines, None)
    if first is None:
        raise InvalidInput(EMPTY)
    if not first.content.lstrip().startswith(b"{"):
        shown = first.content[:SHOWN].decode("utf-8", "replace").strip()
        raise InvalidInput(
            f"begins with {shown!r}, not a JSON object; it takes JSONL or a JSON array, tables are files"
        )
    yield from chain([first], lines)


def _array_lines(chunks: Iterable[bytes]) -> Iterator[Line]:
    try:
        for number, element in enumerate(elements(codecs.iterdecode(chunks, "utf-8")), start=1):
            yield Line(number, element.encode())
    except UnicodeDecodeError as error:
        raise InvalidInput(_not_utf8(error)) from error


def _table_lines(rows: Iterable[JsonRow | InvalidInput]) -> Iterator[Line]:
    """Raises InvalidInput if the whole is not a table of texts."""
    try:
        for number, row in enumerate(rows, start=1):
            if isinstance(row, InvalidInput):
                yield Line(number, b"{}", wrong=row.message)
            else:
                yield _table_line(number, row)
    except UnicodeDecodeError as error:
        raise InvalidInput(_not_utf8(error)) from error


def _table_line(number: int, row: JsonRow) -> Line:
    try:
        return Line(number, as_json(row))
    except InvalidInput as error:
        return Line(number, b"{}", wrong=error.message)


def _without_mark(first: bytes) -> bytes:
    """The line without a byte order mark. Raises InvalidInput for what is not UTF-8 text."""
    _refuse_other_kind(first)
    return first.removeprefix(codecs.BOM_UTF8)


def _refuse_other_kind(first: bytes) -> None:
    for beginning, kind in _OTHER_KINDS.items():
        if first.startswith(beginning):
            raise InvalidInput(f"is {kind}")
    if b"\0" in first[:4]:
        raise InvalidInput("holds zero bytes: it is UTF-16 text without a mark, or not text; convert it to UTF-8")


def _not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong and what to do, without Python's own words."""
    found = error.object[error.start]
    return f"is not UTF-8 text (byte 0x{found:02x}); convert the file, for example with `iconv -f LATIN1 -t UTF-8`"


def kind_of_value(value: Any) -> str:
    """What a value is in the words of JSON, with its article: "a list"."""
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), f"a {type(value).__name__}")


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "a list",
    dict: "an object",
    type(None): "null",
}
"""In this order: a bool is an int."""


_ABSENT = object()


def _at(row: JsonRow, theirs: str) -> Any:
    """The column of that name, else what lies at the path `doc.question` or `resps.0.0`, else _ABSENT."""
    if theirs in row:
        return row[theirs]
    found: Any = row
    for part in theirs.split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            return _ABSENT
    return found


class _Token(str):
    """A number that JSON cannot hold, as it was written."""


def _finite(number: str) -> float:
    found = float(number)
    if found in (float("inf"), float("-inf")):
        raise InvalidInput(f"the number {number} is too large")
    return found


def _number_or_token(number: str) -> float | _Token:
    try:
        return _finite(number)
    except InvalidInput:
        return _Token(number)


def _refuse(constant: str) -> float:
    raise InvalidInput(f"{constant} is not JSON; write null for a number that is not known")


def _holds_token(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_token, value.values()))
    return any(map(_holds_token, value)) if isinstance(value, list) else isinstance(value, _Token)
