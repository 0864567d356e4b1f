"""One solution on its way through an engine, over as many forwards as it needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from stepscore.types import EncodedSolution, Values

SMALLEST_FORWARD = 64
"""Tokens: what does not fit into memory with so few at a time is an error."""
SMALLEST_SHARE = 8
"""A part of a solution that is smaller than this share of a forward waits for the next one, where it will be larger."""


class Cursor(Protocol):
    """How far an engine has come in a sequence; what was computed so far is kept until it is released."""

    def release(self) -> None: ...


@dataclass(eq=False, slots=True)
class Work:
    """One solution's sequences, computed in their order.

    token_budget: new tokens that the next forward may spend on it.
    outputs: the numbers of the sequences that are finished.
    cursor: how far the engine has come in the next sequence; None if it has not begun.
    """

    encoded: EncodedSolution
    token_budget: int = 0
    outputs: list[Values] = field(default_factory=list)
    cursor: Cursor | None = None

    def release(self) -> None:
        """Give up what is kept of the sequence that was begun."""
        if self.cursor is not None:
            self.cursor.release()
        self.cursor = None

    @property
    def finished(self) -> bool:
        return len(self.outputs) == len(self.encoded.sequences)

    @property
    def remaining(self) -> EncodedSolution:
        """What is not finished yet."""
        if not self.outputs:
            return self.encoded
        return replace(self.encoded, sequences=self.encoded.sequences[len(self.outputs) :])
