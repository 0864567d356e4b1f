"""OmegaPRM's shared tree of one problem: nodes, their values, and which wrong rollout to search next.

Source: arXiv:2406.06592, section 3.3. A node is a prefix of a solution with MC(s), the share of right rollouts,
and N(s), how often it was selected. Candidates are the wrong rollouts of nodes with 0 < MC(s) < 1.

    Q(s, r) = ALPHA ** (1 - MC(s)) * BETA ** (len(r) / LENGTH)
    U(s) = C_PUCT * sqrt(sum of N over the nodes) / (1 + N(s))
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from stepscore.rollout.sampler import Rollout, RolloutCounts

ALPHA, BETA, LENGTH, C_PUCT = 0.5, 0.9, 500, 0.125
"""The paper's values. LENGTH is in tokens."""


@dataclass(slots=True, eq=False)
class OmegaNode:
    """A prefix. steps: all of them from the problem on. counts: None for a whole solution, judged by its own answer."""

    prefix: str
    steps: tuple[str, ...] = ()
    value: float | None = None
    counts: RolloutCounts | None = None
    visits: int = 0
    children: list[OmegaNode] = field(default_factory=list)

    def walk(self) -> Iterator[OmegaNode]:
        """The node and all below it, parents first, in the order in which they were added."""
        yield self
        for child in self.children:
            yield from child.walk()

    def as_json(self, above: int = 0) -> dict[str, Any]:
        """As JSON. above: steps of the parent; `steps` holds those that this node adds."""
        return {
            "steps": list(self.steps[above:]),
            "mc_value": self.value,
            "visits": self.visits,
            "counts": None if self.counts is None else asdict(self.counts),
            "children": [child.as_json(len(self.steps)) for child in self.children],
        }


@dataclass(frozen=True, slots=True, eq=False)
class WrongRollout:
    """A wrong rollout that continues a node's prefix."""

    node: OmegaNode
    rollout: Rollout

    def quality(self) -> float:
        value = self.node.value or 0.0
        return float(ALPHA ** (1.0 - value) * BETA ** (self.rollout.tokens / LENGTH))


@dataclass(slots=True)
class OmegaTree:
    """All that the search of one problem knows. spent: rollouts so far."""

    root: OmegaNode
    pool: list[WrongRollout] = field(default_factory=list)
    visits: int = 0
    spent: int = 0

    def admit(self, node: OmegaNode, rollouts: tuple[Rollout, ...]) -> None:
        """Add a node's wrong rollouts to the pool if some of its rollouts are right and some wrong."""
        self.spent += len(rollouts)
        if node.value is not None and 0.0 < node.value < 1.0:
            self.pool += [WrongRollout(node, rollout) for rollout in rollouts if rollout.ending == "wrong"]

    def select(self) -> WrongRollout | None:
        """Take out the candidate with the highest Q + U, the earliest of equal ones, and count the visit."""
        if not self.pool:
            return None
        best = max(self.pool, key=self.priority)
        self.pool.remove(best)
        best.node.visits += 1
        self.visits += 1
        return best

    def priority(self, candidate: WrongRollout) -> float:
        """Computed when it is needed, so that it always follows from the current statistics."""
        exploration = C_PUCT * math.sqrt(self.visits) / (1 + candidate.node.visits)
        return candidate.quality() + exploration
