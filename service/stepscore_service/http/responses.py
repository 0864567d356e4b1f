"""The error answers that the documentation shows for routes: the codes of the error tree by their status."""

from __future__ import annotations

from typing import Any

from stepscore.errors import (
    CheckpointError,
    DamagedTokenizer,
    NotEnoughMemory,
    QuantizationError,
    SandboxUnavailable,
    ToolMissing,
    UnknownFamily,
    UnsupportedByEngine,
)
from stepscore_service.errors import (
    AnotherFamily,
    ClientGone,
    NotFound,
    PathNotAllowed,
    ReloadDisabled,
    error_classes,
    status_of_code,
)
from stepscore_service.schemas.score import ErrorBody

NOT_ANSWERED = (ClientGone, SandboxUnavailable, ToolMissing)
"""Nobody reads an answer, or only commands raise them."""
_OF_RELOADS = (
    ReloadDisabled,
    PathNotAllowed,
    AnotherFamily,
    CheckpointError,
    DamagedTokenizer,
    UnknownFamily,
    UnsupportedByEngine,
    QuantizationError,
    NotEnoughMemory,
)
_NOTES = {401: "a key is missing or unknown", 429: "this key's own quota; see Retry-After", 503: "see Retry-After"}


def _errors_by_status(leave_out: tuple[type, ...]) -> dict[int | str, dict[str, Any]]:
    codes: dict[int, list[str]] = {}
    for code, error in error_classes().items():
        if error not in leave_out:
            codes.setdefault(status_of_code(code), []).append(code)
    return {status: {"model": ErrorBody, "description": _line(status, codes[status])} for status in sorted(codes)}


def _line(status: int, codes: list[str]) -> str:
    note = _NOTES.get(status)
    return ", ".join(codes) + (f": {note}" if note else "")


ERRORS = _errors_by_status((*NOT_ANSWERED, *_OF_RELOADS, NotFound))
RELOAD_ERRORS = _errors_by_status(NOT_ANSWERED)
