"""The errors that only a service has, and the one table from error class to HTTP status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic_core import from_json, to_json

from stepscore.errors import (
    CheckpointError,
    EngineDead,
    EngineError,
    GeneratorError,
    InvalidInput,
    NoVerdict,
    StepscoreError,
    UnscorableError,
)


class InvalidRequest(InvalidInput):
    """The JSON does not have the shape that the route takes. detail: errors (where, problem), count."""

    code = "invalid_request"


class InvalidJson(InvalidInput):
    """The body is not JSON; NaN and Infinity are not allowed."""

    code = "invalid_json"


class InvalidUtf8(InvalidInput):
    """The body is not UTF-8. detail: byte."""

    code = "invalid_utf8"


class InvalidChat(InvalidInput):
    """A templated text in which prompt and response cannot be told apart. detail: known (templates)."""

    code = "invalid_chat"


class UnknownTokenizer(InvalidInput):
    """The service has no policy's tokenizer of that name. detail: tokenizer, known."""

    code = "unknown_tokenizer"


class UnsupportedMediaType(StepscoreError):
    """The body is not sent as JSON. detail: content_type."""

    code = "unsupported_media_type"


class BodyTooLarge(StepscoreError):
    """More bytes than the service reads. detail: limit."""

    code = "body_too_large"


class HeadersTooLarge(StepscoreError):
    """A request line and headers of more bytes than the service reads. detail: limit."""

    code = "headers_too_large"


class IdempotencyMismatch(StepscoreError):
    """An Idempotency-Key that came with another body before."""

    code = "idempotency_mismatch"


class BadHttp(StepscoreError):
    """The bytes are not HTTP/1.1."""

    code = "bad_http"


class RequestTimeout(StepscoreError):
    """The head or the body of a request came too slowly."""

    code = "request_timeout"


class TooManyConnections(StepscoreError):
    """So many connections are open that only probes are answered on further ones. detail: limit."""

    code = "too_many_connections"


class TooManyCharacters(InvalidInput):
    """A solution so long that it is not even tokenised. detail: characters, limit, excess."""

    code = "too_many_characters"
    of_text = True


class TooManyItems(StepscoreError):
    """More solutions in one request than the service takes. detail: items, limit."""

    code = "too_many_items"


class TooManyTokens(StepscoreError):
    """One request that is larger than the whole queue. detail: tokens, limit."""

    code = "too_many_tokens"


class Overloaded(StepscoreError):
    """The queue is full or the deadline too near. detail: queued_tokens, estimated_seconds, retry_after_seconds."""

    code = "overloaded"


class QuotaExceeded(StepscoreError):
    """A client has used up its own quota. detail: limit (tokens per minute), retry_after_seconds."""

    code = "quota_exceeded"


class Draining(StepscoreError):
    """The service is shutting down and takes no new work."""

    code = "draining"


class DeadlineExceeded(StepscoreError):
    """The caller's own time limit passed before the answer was ready."""

    code = "deadline_exceeded"


class NoPolicy(StepscoreError):
    """The service was not started with --policy, so it cannot search."""

    code = "no_policy"


class ReloadDisabled(StepscoreError):
    """The service was not started with --allow-reload."""

    code = "reload_disabled"


class NotFound(StepscoreError):
    """No such route here."""

    code = "not_found"


class NotAuthorised(StepscoreError):
    """The key is missing or unknown."""

    code = "not_authorised"


class ScopeMissing(StepscoreError):
    """The key is known, but not for this route. detail: scope."""

    code = "scope_missing"


class PathNotAllowed(StepscoreError):
    """A checkpoint outside the folder that the service may load from. detail: path."""

    code = "path_not_allowed"


class AnotherFamily(StepscoreError):
    """The new checkpoint's rewards are read differently from those served. detail: model, served, found."""

    code = "another_family"


class ClientGone(StepscoreError):
    """The caller hung up. Nobody reads the answer; it counts in logs and metrics."""

    code = "client_gone"


SHOWN = 1000
"""Characters of a text of an error that are answered: its beginning and its end."""

STATUS: Mapping[type[StepscoreError], int] = MappingProxyType(
    {
        StepscoreError: 500,
        InvalidInput: 422,
        CheckpointError: 422,
        NotAuthorised: 401,
        NotFound: 404,
        ScopeMissing: 403,
        ReloadDisabled: 403,
        PathNotAllowed: 403,
        AnotherFamily: 409,
        NoPolicy: 404,
        UnsupportedMediaType: 415,
        BodyTooLarge: 413,
        TooManyItems: 413,
        TooManyTokens: 413,
        BadHttp: 400,
        IdempotencyMismatch: 422,
        RequestTimeout: 408,
        HeadersTooLarge: 431,
        ClientGone: 499,
        EngineError: 500,
        EngineDead: 503,
        UnscorableError: 500,
        NoVerdict: 502,
        GeneratorError: 502,
        QuotaExceeded: 429,
        Overloaded: 503,
        TooManyConnections: 503,
        Draining: 503,
        DeadlineExceeded: 504,
    }
)
"""Lack of capacity is 503: trainers' clients retry a 5xx and give up at a 4xx. 429 is a client's own quota."""

HTTP_CODES: Mapping[int, str] = MappingProxyType({404: "not_found", 405: "method_not_allowed"})
"""Codes of the errors that the framework itself raises."""


def status_of(error: StepscoreError) -> int:
    """The status of the error's nearest class in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def error_classes() -> dict[str, type[StepscoreError]]:
    """Every error class by its code."""
    return {each.code: each for each in _with_subclasses(StepscoreError)}


def _with_subclasses(error: type[StepscoreError]) -> Iterator[type[StepscoreError]]:
    yield error
    for each in error.__subclasses__():
        yield from _with_subclasses(each)


def status_of_code(code: str) -> int:
    """The status of the error with that code; 500 for a code that is not known here."""
    found = error_classes().get(code, StepscoreError)
    return next(STATUS[cls] for cls in found.__mro__ if cls in STATUS)


def is_of_text(code: str) -> bool:
    """Whether only the text of one solution is at fault; False for a code that is not known here."""
    return error_classes().get(code, StepscoreError).of_text


def body_of(error: StepscoreError) -> dict[str, Any]:
    """The one JSON shape of errors: code, message, detail."""
    return error_body(error.code, error.message, error.detail)


def error_body(code: str, message: str, detail: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Texts are shortened: a caller's own, which errors name, may be megabytes long."""
    written = to_json(dict(detail or {}), inf_nan_mode="strings", serialize_unknown=True)
    return {"code": code, "message": _shorten(message), "detail": _shorten(from_json(written))}


def _shorten(value: Any) -> Any:
    match value:
        case str():
            return value if len(value) <= SHOWN else f"{value[: SHOWN - 100]}…{value[-99:]}"
        case list():
            return [_shorten(each) for each in value]
        case dict():
            return {name: _shorten(each) for name, each in value.items()}
    return value


def headers_of(error: StepscoreError) -> dict[str, str]:
    """Retry-After, in whole seconds, for errors that are temporary; how to authenticate, if that is what is missing."""
    if isinstance(error, NotAuthorised):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, Overloaded | QuotaExceeded | Draining | EngineDead | TooManyConnections):
        return {"Retry-After": str(error.detail.get("retry_after_seconds", 1))}
    return {}
