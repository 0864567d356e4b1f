"""Rows of files as pydantic models: what a command needs of a row, and errors that name the column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stepscore.errors import InvalidInput
from stepscore_service.jobs.runs.source import JsonRow, kind_of_value

SHOWN = 40
"""Characters of a wrong value in a message."""


class RowModel(BaseModel):
    """The columns that a command reads; others are ignored. Only TruthValue and WholeNumber convert values."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


M = TypeVar("M", bound=RowModel)


def read_as(model: type[M], row: Mapping[str, Any]) -> M:
    """Raises InvalidInput for the first column that is missing or wrong (detail: field, and index in a list)."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        raise _wrong(error.errors(include_url=False)[0], row, model) from error


def text_field(row: JsonRow, name: str) -> str:
    """A column of text. Raises InvalidInput."""
    return check_text(row, name, row[name]) if name in row else _fail_missing(row, name)


def column_of(row: JsonRow, name: str) -> Any:
    """A column of any kind. Raises InvalidInput if it is missing."""
    return row[name] if name in row else _fail_missing(row, name)


def check_text(row: JsonRow, name: str, value: Any) -> str:
    """Raises InvalidInput if it is not text, or text that UTF-8 cannot hold."""
    if not isinstance(value, str):
        raise InvalidInput(f"{name!r} is {kind_of_value(value)}, not text (columns: {columns_of(row)})", field=name)
    if half := half_pair(value):
        raise InvalidInput(f"{name!r} holds {half}", field=name)
    return value


def half_pair(text: str) -> str:
    """What is wrong with a text that holds half of a surrogate pair; "" for every other."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half of a surrogate pair (character {error.start}), which is not text"
    return ""


def half_pair_in(value: Any) -> str:
    """`half_pair` of the first text in a JSON value that has one; "" if none has."""
    return next(filter(None, map(half_pair, _texts_in(value))), "")


def columns_of(row: Mapping[str, Any]) -> str:
    return ", ".join(row) or "none"


def _without_half_pairs(text: str) -> str:
    if half := half_pair(text):
        raise ValueError(f"holds {half}")
    return text


RowText = Annotated[str, AfterValidator(_without_half_pairs)]
"""A text that UTF-8 can hold."""


def _number_as_text(value: Any) -> Any:
    """An answer may be written as a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


AnswerText = Annotated[RowText, BeforeValidator(_number_as_text)]
"""A final answer: a text, or a number."""


def truth_value(value: Any) -> Any:
    """True or false for 1 or 0, as pandas and evaluation harnesses write them; every other value as it is."""
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else value


def _whole_number(value: Any) -> Any:
    """pandas writes the numbers of a column in which one is missing as 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


TruthValue = Annotated[bool, BeforeValidator(truth_value)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


class AnswerRow(RowModel):
    """What is known of a problem's answer."""

    answer: AnswerText


class SolutionRow(RowModel):
    """One solution: `steps`, or `solution` as text. TRL's names are read too."""

    problem: RowText = Field(validation_alias=AliasChoices("problem", "prompt"))
    steps: list[RowText] | None = Field(None, validation_alias=AliasChoices("steps", "completions"))
    solution: RowText | None = None
    split: RowText | None = None


class CandidatesRow(RowModel):
    """One problem with candidates, each a text or a list of steps. correct: one for each."""

    problem: RowText = Field(validation_alias=AliasChoices("problem", "prompt"))
    candidates: list[RowText | list[RowText]] = Field(min_length=1, description="a text or a list of texts")
    correct: list[TruthValue] | None = Field(None, description="true or false")
    split: RowText | None = None


def _wrong(problem: Mapping[str, Any], row: Mapping[str, Any], model: type[RowModel]) -> InvalidInput:
    place: Sequence[str | int] = problem["loc"]
    column = str(place[0])
    if problem["type"] == "missing" and len(place) == 1:
        _fail_missing(row, column)
    index = next((each for each in place[1:] if isinstance(each, int)), None)
    where = repr(column) if index is None else f"{column!r} (entry {index})"
    detail = {"field": column} if index is None else {"field": column, "index": index}
    return InvalidInput(f"{where} {_reason(problem, _meaning(model, column))}", **detail)


def _meaning(model: type[RowModel], column: str) -> str:
    """What an entry of the column is, in the words of the model."""
    for name, field in model.model_fields.items():
        names = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else [name]
        if column in names:
            return field.description or ""
    return ""


def _reason(problem: Mapping[str, Any], meaning: str) -> str:
    value, kind = problem["input"], problem["type"]
    if half := half_pair_in(value):
        return f"holds {half}"
    if kind in _NEEDED and (len(problem["loc"]) == 1 or not meaning):
        return f"is {kind_of_value(value)}, not {_NEEDED[kind]}"
    if kind == "missing":
        return f"lacks {problem['loc'][-1]!r}"
    wanted = meaning or f"{str(problem['msg'])[:1].lower()}{str(problem['msg'])[1:]}"
    return f"is {_shorten(value)}, not {wanted}" if meaning else f"is {_shorten(value)}: {wanted}"


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(each)


_NEEDED = {
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
}
"""By pydantic's name of the error: what the value should be."""


def _shorten(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"


def _fail_missing(row: Mapping[str, Any], name: str) -> Any:
    raise InvalidInput(f"{name!r} is missing (columns: {columns_of(row)})", field=name)
