"""One solution on its way through an engine, over as many forwards as it needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stepscore.types import EncodedSolution, Values


@dataclass(eq=False, slots=True)
class Work:
    """One solution's sequences, computed in their order.

    token_budget: new tokens that the next forward may spend on it.
    outputs: the numbers of the sequences that are finished.
    cursor: the engine's own note of how far the next sequence has come; `release` takes it back.
    """

    encoded: EncodedSolution
    token_budget: int = 0
    outputs: list[Values] = field(default_factory=list)
    cursor: object | None = None

    @property
    def finished(self) -> bool:
        return len(self.outputs) == len(self.encoded.sequences)

    @property
    def remaining(self) -> EncodedSolution:
        """What is not finished yet."""
        if not self.outputs:
            return self.encoded
        return replace(self.encoded, sequences=self.encoded.sequences[len(self.outputs) :])
