"""Who still uses a thing that is about to be closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Leases:
    """Counts its holders, all of them on one event loop."""

    def __init__(self) -> None:
        self._holders = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def hold(self) -> Iterator[None]:
        self._holders += 1
        self._free.clear()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._free.set()

    async def returned(self) -> None:
        """Wait until nobody holds it. Only sensible where nobody new can come."""
        await self._free.wait()
