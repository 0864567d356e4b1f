"""What is on its way through an engine, over as many forwards as it needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stepscore.types import EncodedSolution, Values


@dataclass(eq=False, slots=True)
class Work:
    """One solution's sequences, computed in their order.

    allowance: new tokens that the next forward may spend on it.
    found: the numbers of the sequences that are finished.
    held: the engine's own note of how far the next sequence has come; `release` takes it back.
    """

    encoded: EncodedSolution
    allowance: int = 0
    found: list[Values] = field(default_factory=list)
    held: object | None = None

    @property
    def finished(self) -> bool:
        return len(self.found) == len(self.encoded.sequences)

    @property
    def remaining(self) -> EncodedSolution:
        """What is not finished yet."""
        if not self.found:
            return self.encoded
        return replace(self.encoded, sequences=self.encoded.sequences[len(self.found) :])
