"""The tree of one search: what the policy wrote, how it was rewarded, and what became of each branch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from stepscore.errors import StepscoreError

NodeStatus = Literal["open", "finished", "truncated", "pruned", "failed"]
"""open: can be continued. finished: the policy ended the solution. truncated: it ran out of tokens. pruned: the method
dropped it. failed: it cannot be scored or continued (`reason` says why)."""


@dataclass(eq=False, slots=True)
class SearchNode:
    """One continuation of its parent: usually one step, or the rest of a solution.

    text: as sampled, separator included. steps: the steps in it, without white space around them.
    rewards: of every step from the root to here; None until the node is rated.
    score: the aggregate that the method compares, of this node or of its lookahead.
    visits, value: MCTS statistics; value is the sum of backed-up values.
    """

    parent: SearchNode | None
    text: str
    steps: tuple[str, ...]
    status: NodeStatus = "open"
    tokens: int = 0
    rewards: tuple[float, ...] | None = None
    score: float | None = None
    reason: str = ""
    error: StepscoreError | None = None
    children: list[SearchNode] = field(default_factory=list)
    visits: int = 0
    value: float = 0.0

    @property
    def path(self) -> list[SearchNode]:
        """From the first node after the root to this one."""
        nodes: list[SearchNode] = []
        node: SearchNode | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    @property
    def prefix(self) -> str:
        """The solution's text up to here, as the policy wrote it."""
        return "".join(node.text for node in self.path)

    @property
    def solution(self) -> tuple[str, ...]:
        """All steps up to here."""
        return tuple(step for node in self.path for step in node.steps)

    @property
    def depth(self) -> int:
        """Steps up to here."""
        return sum(len(node.steps) for node in self.path)

    @property
    def mean_value(self) -> float:
        return self.value / self.visits if self.visits else 0.0

    def fail(self, reason: str, error: StepscoreError | None = None) -> None:
        """This branch ends here without a score."""
        self.status, self.reason, self.error = "failed", reason, error

    def walk(self) -> Iterator[SearchNode]:
        """This node and everything below it, parents first."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children))


def new_root() -> SearchNode:
    return SearchNode(None, "", ())


def complete_nodes(root: SearchNode) -> list[SearchNode]:
    """Every finished solution of a tree; if there is none, those that ran out of tokens."""
    nodes = list(root.walk())
    finished = [node for node in nodes if node.status == "finished"]
    return finished or [node for node in nodes if node.status == "truncated"]
