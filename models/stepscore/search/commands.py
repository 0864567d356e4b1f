"""What a search method asks for: a generator function that yields commands and is sent their results.

A method reads as if it were alone, while the driver serves many problems with each call of the policy or the PRM.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stepscore.search.tree import SearchNode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GrowNodes:
    """Sample children. counts: (node, number of new children), each node once.

    to_end: a child is the rest of the solution instead of one step. greedy: temperature 0.
    """

    counts: tuple[tuple[SearchNode, int], ...]
    to_end: bool = False
    greedy: bool = False


@dataclass(frozen=True, slots=True)
class RateNodes:
    """Set `rewards` and `score` of nodes, or fail them."""

    nodes: tuple[SearchNode, ...]


NewNodes = list[list[SearchNode]]
SearchTask = Generator[GrowNodes | RateNodes, NewNodes, T]


def grow(
    counts: Sequence[tuple[SearchNode, int]], *, to_end: bool = False, greedy: bool = False
) -> SearchTask[NewNodes]:
    """The new children of each node, in order."""
    if not counts:
        return []
    return (yield GrowNodes(tuple(counts), to_end=to_end, greedy=greedy))


def rate(nodes: Sequence[SearchNode]) -> SearchTask[list[SearchNode]]:
    """RateNodes the nodes that are not rated yet. Returns those that have a score, in order."""
    unrated = tuple(node for node in nodes if node.score is None and node.status != "failed")
    if unrated:
        yield RateNodes(unrated)
    return [node for node in nodes if node.score is not None]


def grow_in_order(nodes: Sequence[SearchNode], *, to_end: bool = False) -> SearchTask[list[SearchNode]]:
    """One new child for each entry of `nodes`, in order; a node that occurs k times gets k children in one request."""
    counts = {node: nodes.count(node) for node in dict.fromkeys(nodes)}
    grown = yield from grow(list(counts.items()), to_end=to_end)
    children = {node: iter(new) for node, new in zip(counts, grown, strict=True)}
    return [next(children[node]) for node in nodes]


def look_ahead(nodes: Sequence[SearchNode], steps: int) -> SearchTask[list[SearchNode]]:
    """RateNodes nodes by what a greedy continuation of up to `steps` further steps is worth. Returns the rated ones.

    Source: search-and-learn, `generate_k_steps` (huggingface/search-and-learn@6f81cac, src/sal/search/utils.py).
    """
    ends = {node: node for node in nodes}
    for _ in range(steps):
        going = [node for node, end in ends.items() if end.status == "open"]
        grown = yield from grow([(ends[node], 1) for node in going], greedy=True)
        ends |= {node: new[0] for node, new in zip(going, grown, strict=True)}
    yield from rate(list(ends.values()))
    for node, end in ends.items():
        if node is not end and end.score is not None and end.rewards is not None:
            node.score, node.rewards = end.score, end.rewards[: node.depth]
            _forget(node)
    return [node for node in nodes if node.score is not None]


def _forget(node: SearchNode) -> None:
    """Lookahead nodes stay in the tree for the trace, and are never continued."""
    for child in node.children:
        child.status, child.reason = "pruned", "lookahead"
        _forget(child)
