"""The address of a service, checked before a request would be sent to it again and again."""

from __future__ import annotations

import httpx


def check_url(address: str) -> str:
    """The address itself. Raises ValueError if it is not `http://HOST` or `https://HOST`."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ValueError(f"the service's address {address!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the service's address {address!r} must be http://HOST:PORT or https://HOST:PORT")
    return address
