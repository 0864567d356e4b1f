"""When to send a request again, and after how long: under one deadline for all attempts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import httpx

from stepscore_service.client.errors import HTTP_ERROR, ServiceError, error_of

FIRST_SECONDS, LONGEST_SECONDS = 0.25, 30.0
"""Of the pause after an attempt, if the service names none."""
JITTER = 0.25
"""By how much of itself a pause is lengthened at random, so that clients that were refused together come back apart."""
BUSY, GATEWAY = (429, 503), (500, 502, 504)
"""GATEWAY: of a proxy whose server is gone, if the body is not our own; Ray Serve's answers 500."""

SendOnce = Callable[[float], Awaitable[httpx.Response]]
"""Sends the request once, with the seconds that are left."""


async def send_with_retries(attempt: SendOnce, seconds: float) -> httpx.Response:
    """The first answer that is a success.

    Sends again after a connection that failed, a busy service (503, or 429 with Retry-After) and a proxy without it
    (500, 502 or 504 with a body that is not the service's). Raises ServiceError or httpx.TransportError of the last
    attempt when no further one fits into `seconds`, and at once for every other error of the service and for a request
    that cannot be sent as it is.
    """
    deadline, pause = time.monotonic() + seconds, FIRST_SECONDS
    while True:
        wait, found = await _try_once(attempt, max(0.001, deadline - time.monotonic()))
        if isinstance(found, httpx.Response):
            return found
        delay = (pause if wait is None else wait) * (1 + JITTER * random.random())
        if time.monotonic() + delay >= deadline:
            raise found
        await asyncio.sleep(delay)
        pause = min(LONGEST_SECONDS, 2 * pause)


async def _try_once(
    attempt: SendOnce, left: float
) -> tuple[float | None, httpx.Response | ServiceError | httpx.TransportError]:
    """The answer; or after how many seconds to try again (None: the client chooses) and why. Raises what is final."""
    try:
        response = await attempt(left)
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError):
        raise
    except httpx.TransportError as lost:
        return None, lost
    if response.is_success:
        return None, response
    refused = error_of(response)
    if not _may_pass(response, refused):
        raise refused
    return _retry_after(response), refused


def _may_pass(response: httpx.Response, error: ServiceError) -> bool:
    """Whether the same request may succeed later."""
    if response.status_code in GATEWAY:
        return error.code == HTTP_ERROR
    return response.status_code in BUSY


def _retry_after(response: httpx.Response) -> float | None:
    given = response.headers.get("retry-after", "")
    return float(given) if given.isdecimal() else None
