"""Step-level beam search.

Source: search-and-learn `_beam_search` (huggingface/search-and-learn@6f81cac, src/sal/search/beam_search.py), after
Snell et al. 2024 (arXiv 2408.03314). Each round gives N children to the beams that are kept, drops all but the best
N / M, and replicates those to N again. Two differences: lookahead counts (there it is generated and not scored), and
completed solutions are not copied to fill N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepscore.errors import InvalidOption
from stepscore.search.bounds import Count, CountOrZero, Switch
from stepscore.search.commands import SearchTask, grow_in_order, look_ahead, rate
from stepscore.search.tree import SearchNode


@dataclass(frozen=True, slots=True)
class BeamOptions:
    """n: beams. width: children for each beam that is kept (M); n / width are kept. rounds: the last runs to the end.

    lookahead: greedy steps by which a beam is rated. filter_duplicates: equal texts are one beam.
    keep_first: return the first n completed solutions, as the source does by default, instead of the best n.
    """

    n: Count = 16
    width: Count = 4
    rounds: Count = 40
    lookahead: CountOrZero = 0
    filter_duplicates: Switch = False
    keep_first: Switch = False

    def __post_init__(self) -> None:
        if self.n % self.width:
            raise InvalidOption(f"beam search needs n divisible by width; n is {self.n}, width {self.width}")


def beam_search(root: SearchNode, options: BeamOptions) -> SearchTask[list[SearchNode]]:
    """The completed solutions."""
    active, completed = [root], list[SearchNode]()
    for turn in range(options.rounds):
        last = turn == options.rounds - 1
        grown = yield from grow_in_order(replicate(active, options.n), to_end=last)
        ended = yield from rate([node for node in grown if node.status in ("finished", "truncated")])
        completed += ended
        going = [node for node in grown if node.status == "open"]
        if options.filter_duplicates:
            going = drop_duplicates(going)
        going = yield from look_ahead(going, 0 if last else options.lookahead)
        active = keep_best(going, options.n // options.width)
        if not active:
            break
    return completed[: options.n] if options.keep_first else best_first(completed)[: options.n]


def replicate(nodes: Sequence[SearchNode], n: int) -> list[SearchNode]:
    """The nodes again and again, in order, until there are n."""
    return [nodes[index % len(nodes)] for index in range(n)]


def keep_best(nodes: Sequence[SearchNode], count: int) -> list[SearchNode]:
    """The best `count` nodes in their order, the later of equals; the others are pruned."""
    kept = set(np.argsort([node.score or 0.0 for node in nodes], kind="stable")[-count:].tolist())
    for index, node in enumerate(nodes):
        if index not in kept:
            node.status = "pruned"
    return [nodes[index] for index in sorted(kept)]


def drop_duplicates(nodes: Sequence[SearchNode]) -> list[SearchNode]:
    """The first node of each text; the others are pruned."""
    first: dict[str, SearchNode] = {}
    for node in nodes:
        if first.setdefault(node.prefix, node) is not node:
            node.status, node.reason = "pruned", "duplicate"
    return list(first.values())


def best_first(nodes: Sequence[SearchNode]) -> list[SearchNode]:
    """Sorted by score, the earlier of equals first."""
    return sorted(nodes, key=lambda node: -(node.score if node.score is not None else float("-inf")))
