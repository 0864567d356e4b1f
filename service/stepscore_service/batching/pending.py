"""What the caller of a batcher waits for."""

from __future__ import annotations

import asyncio

from stepscore_service.batching.protocols import Outcome


class Pending:
    """The outcomes that a call has so far, and the future on which its caller waits. For the event loop only."""

    def __init__(self, size: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * size
        self.missing = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def result(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome is not None]

    def dismiss(self) -> None:
        """Nobody waits any more; an error that nobody saw is not worth a warning."""
        if self.done.done() and not self.done.cancelled():
            self.done.exception()
        self.done.cancel()
