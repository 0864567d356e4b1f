"""How fast the latest forwards were."""

from __future__ import annotations

SHORTEST_SECONDS, LONGEST_SECONDS = 1, 60
NEWEST = 0.2
"""The weight of the latest forward."""


class Speed:
    """Tokens a second, the newest forwards counting most. For one writer at a time."""

    def __init__(self) -> None:
        self._tokens_per_second = 0.0

    def saw(self, tokens: int, seconds: float) -> None:
        now = tokens / seconds
        known = self._tokens_per_second
        self._tokens_per_second = (1 - NEWEST) * known + NEWEST * now if known else now

    def seconds_for(self, tokens: int) -> int:
        """How long tokens will take, in whole seconds within the bounds; the least where nothing is known."""
        speed = self._tokens_per_second
        expected = round(tokens / speed) if speed else SHORTEST_SECONDS
        return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, expected))
