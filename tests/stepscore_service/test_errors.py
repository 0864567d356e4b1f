"""The table from errors to HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stepscore.errors
import stepscore_service.errors as service_errors
from stepscore.errors import StepscoreError, TooLong
from stepscore_service.errors import (
    HTTP_CODES,
    Overloaded,
    QuotaExceeded,
    body_of,
    headers_of,
    status_of,
    status_of_code,
)
from stepscore_service.http.responses import NOT_ANSWERED


def _all(base: type[StepscoreError] = StepscoreError) -> Iterator[type[StepscoreError]]:
    yield base
    for child in base.__subclasses__():
        yield from _all(child)


OURS = [cls for cls in _all() if cls.__module__ in {stepscore.errors.__name__, service_errors.__name__}]


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.__name__)
def test_every_error_has_a_code_of_its_own_and_a_status(cls: type[StepscoreError]) -> None:
    assert [other for other in OURS if other.code == cls.code] == [cls]
    status = status_of(cls("what to change"))
    assert 400 <= status < 600
    assert (status == 429) == (cls is QuotaExceeded), "trainers' clients give up at 429"


@pytest.mark.parametrize("detail", [{"value": float("nan")}, {"value": {1, 2}}, {"value": object()}])
def test_any_detail_can_be_told(detail: dict[str, Any]) -> None:
    json.dumps(body_of(TooLong("too long", **detail)), allow_nan=False)


TABLE = Path(__file__).parents[2] / "docs" / "api.md"


def documented_statuses() -> dict[str, set[int]]:
    """The statuses under which the table of docs/api.md lists each code."""
    found: dict[str, set[int]] = {}
    for statuses, codes in re.findall(r"^\| (\d{3}(?:, \d{3})*) \| (.+) \|$", TABLE.read_text(), re.MULTILINE):
        for code in re.findall(r"`([a-z]\w*)`", codes):
            found.setdefault(code, set()).update(map(int, statuses.split(", ")))
    return found


def test_the_documentation_lists_every_code_under_its_status() -> None:
    answered = {cls.code: status_of_code(cls.code) for cls in OURS if not issubclass(cls, NOT_ANSWERED)}
    listed = documented_statuses()
    assert sorted(answered.keys() - listed.keys()) == []
    assert {code for code, status in answered.items() if status not in listed[code]} == set()
    assert sorted(listed.keys() - answered.keys() - {*HTTP_CODES.values(), "http_error"}) == []


def test_overload_says_when_to_come_again() -> None:
    assert headers_of(Overloaded("full", retry_after_seconds=7)) == {"Retry-After": "7"}
    assert headers_of(TooLong("too long")) == {}
