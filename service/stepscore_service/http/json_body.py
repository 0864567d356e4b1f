"""How bodies are read and answers written: limits, strict JSON, callers who hang up."""

from __future__ import annotations

import asyncio
import codecs
import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import from_json
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect

from stepscore_service.errors import (
    BodyTooLarge,
    ClientGone,
    InvalidJson,
    InvalidUtf8,
    TooManyItems,
    UnsupportedMediaType,
)
from stepscore_service.http.idempotency import AnswerStore
from stepscore_service.schemas.score import LimitedBy
from stepscore_service.schemas.unicode import find_surrogate
from stepscore_service.settings import Settings

T = TypeVar("T")
READ_ONCE = (
    "content-type",
    "content-encoding",
    "authorization",
    "idempotency-key",
    "x-request-timeout-ms",
    "x-priority",
    "x-tenant",
    "x-policy-version",
)
SHOWN = 100
"""Characters of a caller's key that a message repeats."""
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JsonRequest(Request):
    """A request whose body has been read and parsed: strict UTF-8 and strict JSON, without NaN and Infinity."""

    async def load(self, limit: int) -> None:
        """Read at most `limit` bytes. Raises UnsupportedMediaType, BodyTooLarge, InvalidUtf8, InvalidJson."""
        check_media_type(self.headers)
        self._body = await self._read(limit)
        self._json = parse(self._body)

    async def _read(self, limit: int) -> bytes:
        check_length(self.headers, limit)
        received, size = [], 0
        try:
            async for chunk in self.stream():
                size += len(chunk)
                _check_size(size, limit)
                received.append(chunk)
        except ClientDisconnect as error:
            raise ClientGone("the caller hung up while sending") from error
        return b"".join(received)


def check_media_type(headers: Headers) -> None:
    """Raises UnsupportedMediaType for what is not JSON in UTF-8, without compression."""
    kind = headers.get("content-type", "")
    name, _, parameters = kind.lower().partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]*)", parameters)
    if name.strip() != "application/json" or (charset and charset[1] not in ("utf-8", "utf8", "us-ascii")):
        message = "send JSON in UTF-8 with the header `Content-Type: application/json`"
        raise UnsupportedMediaType(message, content_type=kind)
    for header, plain in (("content-encoding", "identity"), ("transfer-encoding", "chunked")):
        coding = headers.get(header, plain)
        if coding.lower() != plain:
            message = f"compressed bodies are not read; send JSON with no other {header.title()} than {plain}"
            raise UnsupportedMediaType(message, **{header.replace("-", "_"): coding})


def check_once(headers: Headers) -> None:
    """Raises RequestValidationError for a header that the service reads and that comes more than once."""
    repeated = [name for name in READ_ONCE if len(headers.getlist(name)) > 1]
    if repeated:
        problem = "the header is given more than once; send it once"
        raise RequestValidationError([{"loc": ("header", name), "msg": problem} for name in repeated])


def check_length(headers: Headers, limit: int) -> None:
    """Raises BodyTooLarge if the announced length exceeds the limit, before anything is read."""
    announced = headers.get("content-length", "")
    if announced.isdecimal():
        _check_size(int(announced), limit)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        message = f"the body is larger than {limit} bytes; send the items in several requests"
        raise BodyTooLarge(message, limit=limit)


def parse(body: bytes) -> Any:
    """Without a byte order mark. Raises InvalidUtf8 or InvalidJson, also for an object that names a key twice."""
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        _check_utf8(body)
        _check_surrogates(body)
        raise InvalidJson(f"the body is not JSON: {error}") from error
    json.loads(body, object_pairs_hook=_check_keys, parse_int=float)
    return found


def _check_keys(pairs: list[tuple[str, Any]]) -> None:
    """A parser would keep the last of two values and drop the first in silence."""
    seen = set[str]()
    for name, _ in pairs:
        if name in seen:
            raise InvalidJson(f"an object of the body names {name[:SHOWN]!r} twice; leave one", key=name[:SHOWN])
        seen.add(name)


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        message = f"the body is not UTF-8 at byte {error.start}; encode it as UTF-8"
        raise InvalidUtf8(message, byte=error.start) from error


def _check_surrogates(body: bytes) -> None:
    """Escapes such as \\ud83d that come without their second half are JSON, but not text."""
    try:
        where = find_surrogate(json.loads(body))
    except (ValueError, RecursionError):
        return
    if where:
        message = f"{where} holds a lone surrogate, which is not text; replace it, for example by \\ufffd"
        raise InvalidJson(message, where=where)


def limits_of(model: object, settings: Settings) -> dict[str, int]:
    """How many entries a body of this model may hold in each list, under every name that the list has."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {}
    return {
        name: getattr(settings, each.setting)
        for field, info in model.model_fields.items()
        for each in info.metadata
        if isinstance(each, LimitedBy)
        for name in _names(field, info)
    }


def check_counts(body: Any, limits: Mapping[str, int]) -> None:
    """Raises TooManyItems, before time is spent on looking at each of them."""
    for name, limit in limits.items():
        many = body.get(name) if isinstance(body, dict) else None
        if isinstance(many, list) and len(many) > limit:
            message = f"{len(many)} {name} in one request; the limit is {limit}"
            raise TooManyItems(message, items=len(many), limit=limit)


def _names(field: str, info: FieldInfo) -> set[str]:
    """The field's own name and its aliases."""
    alias = info.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return {field, *(choice for choice in choices if isinstance(choice, str))}


def options_of(dependant: Dependant) -> tuple[str, ...]:
    """The options in the URL that a route and its dependencies declare."""
    own = tuple(field.alias for field in dependant.query_params)
    return own + tuple(name for each in dependant.dependencies for name in options_of(each))


def check_options(given: QueryParams, known: Sequence[str]) -> None:
    """Raises RequestValidationError for an option that is not known or that comes twice."""
    names = [name for name, _ in given.multi_items()]
    choices = f"the options in the URL are {', '.join(known)}" if known else "this route has no options in the URL"
    wrong = {name: f"there is no such option; {choices}" for name in names if name not in known}
    wrong |= {name: "the option is given more than once" for name in known if names.count(name) > 1}
    if wrong:
        raise RequestValidationError([{"loc": ("query", name), "msg": problem} for name, problem in wrong.items()])


class JsonRoute(APIRoute):
    """A route whose body is read by JsonRequest. Lists that its schema marks with LimitedBy are counted first.

    The options in its URL are those that it declares, each at most once.
    """

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        model = self.body_field.field_info.annotation
        options = options_of(self.dependant)

        async def load_and_handle(request: Request) -> Response:
            check_options(request.query_params, options)
            check_once(request.headers)
            settings: Settings = request.app.state.settings
            loaded = JsonRequest(request.scope, request.receive)
            await loaded.load(settings.max_body_bytes)
            check_counts(await loaded.json(), limits_of(model, settings))
            answers: AnswerStore = request.app.state.answers
            return await answers.once(loaded, await loaded.body(), lambda: handle(loaded))

        return load_and_handle


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller hangs up. Raises ClientGone then."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone("the caller hung up before the answer was ready")
    finally:
        gone.cancel()
        task.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Json(Response):
    """An answer that holds only the fields that were set."""

    media_type = "application/json"

    def render(self, content: BaseModel) -> bytes:
        return content.model_dump_json(exclude_unset=True).encode()
