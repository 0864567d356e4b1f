"""What the rounds of one folder have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """model: the first weights. reference: stays as it is. samples: rollouts of one problem that stand together; 0
    leaves returns out. batch: solutions of one optimiser step; 0 takes all in one. micro: solutions of one forward.
    """

    model: str
    reference: str
    samples: int = 0
    batch: int = 0
    micro: int = 4
    rate: float = 1e-6
    clip: float = 10.0
    beta: float = 0.05

    def identity(self) -> dict[str, Any]:
        return asdict(self)
